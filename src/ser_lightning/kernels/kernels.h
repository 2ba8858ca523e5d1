/* Shared by all kernels. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* A kernel is compiled for several processors; the C library chooses the version for this one when it is loaded. */
#define KERNEL
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#undef KERNEL
#define KERNEL __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif

/* Allocate memory aligned for vectors of any width; return NULL on failure. */
INLINE void *allocate(size_t bytes)
{
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}
