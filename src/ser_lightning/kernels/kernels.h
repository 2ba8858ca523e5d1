/* What the files of kernels have in common. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* A kernel is compiled for several processors; which one is there the C library finds out when it loads it. */
#define KERNEL
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#undef KERNEL
#define KERNEL __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif

/* Room for vectors of any width; NULL if there is none. */
INLINE void *room(size_t bytes)
{
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}
