/* Fourier transforms of LANES signals at once, one in each lane of a vector. Included once for each precision, after

     REAL   float or double
     LANES  signals at once
     OF(x)  the name that x has in this precision

   Every lane does the same operations in the same order, whatever the processor: the bits do not depend on it. */

typedef REAL OF(vector) __attribute__((vector_size(LANES * sizeof(REAL))));
typedef struct { OF(vector) re, im; } OF(number);

/* A pass of Stockham's transform with radix 4. `length` numbers are still to be transformed, `stride` times over;
   `roots` are exp(-2 pi i k / n), k < n = length * stride, as pairs. */
INLINE void OF(pass4)(const OF(number) *restrict x, OF(number) *restrict y, const REAL *restrict roots, long length,
                      long stride)
{
    long quarter = length / 4;
    for (long p = 0; p < quarter; p++) {
        const REAL *r1 = roots + 2 * p * stride, *r2 = roots + 4 * p * stride, *r3 = roots + 6 * p * stride;
        REAL c1 = r1[0], s1 = r1[1], c2 = r2[0], s2 = r2[1], c3 = r3[0], s3 = r3[1];
        for (long q = 0; q < stride; q++) {
            OF(number) a = x[q + stride * p], b = x[q + stride * (p + quarter)];
            OF(number) c = x[q + stride * (p + 2 * quarter)], d = x[q + stride * (p + 3 * quarter)];
            OF(vector) sum_re = a.re + c.re, sum_im = a.im + c.im, less_re = a.re - c.re, less_im = a.im - c.im;
            OF(vector) odd_re = b.re + d.re, odd_im = b.im + d.im, turn_re = b.im - d.im, turn_im = d.re - b.re;
            OF(vector) re1 = less_re + turn_re, im1 = less_im + turn_im;
            OF(vector) re2 = sum_re - odd_re, im2 = sum_im - odd_im;
            OF(vector) re3 = less_re - turn_re, im3 = less_im - turn_im;
            OF(number) *out = y + q + stride * 4 * p;
            out[0].re = sum_re + odd_re;
            out[0].im = sum_im + odd_im;
            out[stride].re = c1 * re1 - s1 * im1;
            out[stride].im = c1 * im1 + s1 * re1;
            out[2 * stride].re = c2 * re2 - s2 * im2;
            out[2 * stride].im = c2 * im2 + s2 * re2;
            out[3 * stride].re = c3 * re3 - s3 * im3;
            out[3 * stride].im = c3 * im3 + s3 * re3;
        }
    }
}

/* The same with any radix, by its definition. */
INLINE void OF(pass)(const OF(number) *restrict x, OF(number) *restrict y, const REAL *restrict roots, long length,
                     long stride, long radix)
{
    long part = length / radix, n = length * stride;
    for (long p = 0; p < part; p++)
        for (long k = 0; k < radix; k++) {
            const REAL *turn = roots + 2 * p * k * stride;
            for (long q = 0; q < stride; q++) {
                OF(number) sum = x[q + stride * p];
                for (long j = 1; j < radix; j++) {
                    const REAL *root = roots + 2 * (j * k % radix * (n / radix));
                    OF(number) a = x[q + stride * (p + j * part)];
                    sum.re += root[0] * a.re - root[1] * a.im;
                    sum.im += root[0] * a.im + root[1] * a.re;
                }
                OF(number) *out = y + q + stride * (radix * p + k);
                out->re = turn[0] * sum.re - turn[1] * sum.im;
                out->im = turn[0] * sum.im + turn[1] * sum.re;
            }
        }
}

/* Transform n numbers of x, with y as working memory; return the one of the two that holds the result. */
INLINE OF(number) *OF(transform)(OF(number) *x, OF(number) *y, const REAL *roots, long n)
{
    for (long length = n, stride = 1; length > 1;) {
        long radix = 4;
        if (length % 4)
            for (radix = 2; length % radix; radix++)
                ;
        if (radix == 4)
            OF(pass4)(x, y, roots, length, stride);
        else
            OF(pass)(x, y, roots, length, stride, radix);
        length /= radix;
        stride *= radix;
        OF(number) *other = x;
        x = y;
        y = other;
    }
    return x;
}

/* Bin k of the transform of 2 n real samples, from that of n pairs of them; `root` is exp(-2 pi i k / 2n). */
INLINE OF(number) OF(unpack)(const OF(number) *z, long n, long k, const REAL *root)
{
    OF(number) a = z[k < n ? k : 0], b = z[k > 0 ? n - k : 0], out;
    OF(vector) even_re = a.re + b.re, even_im = a.im - b.im, odd_re = a.im + b.im, odd_im = b.re - a.re;
    out.re = (REAL)0.5 * (even_re + (root[0] * odd_re - root[1] * odd_im));
    out.im = (REAL)0.5 * (even_im + (root[0] * odd_im + root[1] * odd_re));
    return out;
}

/* The inverse of unpack, times 2, with real and imaginary parts exchanged, so that the forward transform gives the
   samples, the second of a pair before the first, times 2 n. */
INLINE OF(number) OF(pack)(const OF(number) *bins, long n, long k, const REAL *root)
{
    OF(number) a = bins[k], b = bins[n - k], out;
    OF(vector) even_re = a.re + b.re, even_im = a.im - b.im, odd_re = a.re - b.re, odd_im = a.im + b.im;
    out.im = even_re + (root[1] * odd_re - root[0] * odd_im);
    out.re = even_im + (root[0] * odd_re + root[1] * odd_im);
    return out;
}
