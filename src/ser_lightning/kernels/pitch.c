/* A phase vocoder and a resampler. See the docstrings of pitch.py for each function. */

#include "kernels.h"

#define REAL float
#define LANES 8
#define OF(x) float_##x
#include "fft.h"

/* A row of complex numbers is a row of real parts and then one of imaginary parts. */

KERNEL int advances(const float *frames, long count, long hop, long n_fft, const float *window, const float *roots,
                    const float *turns, float *magnitude, float *advance, float *start)
{
    long n = n_fft / 2, bins = n + 1, row = 2 * bins;
    float_number *x = allocate(2 * n * sizeof *x), *y = x + n;
    float *unit = allocate((LANES + 1) * row * sizeof *unit); /* of the frame before, then of those of a group */
    if (!x || !unit) {
        free(x);
        free(unit);
        return 1;
    }
    for (long first = 0; first < count; first += LANES) {
        long lanes = count - first < LANES ? count - first : LANES;
        const float *from[LANES];
        for (long l = 0; l < LANES; l++)
            from[l] = frames + (first + (l < lanes ? l : 0)) * hop;
        for (long j = 0; j < n; j++) {
            float_vector even, odd;
            for (long l = 0; l < LANES; l++) {
                even[l] = from[l][2 * j];
                odd[l] = from[l][2 * j + 1];
            }
            x[j].re = even * window[2 * j];
            x[j].im = odd * window[2 * j + 1];
        }
        float_number *z = float_transform(x, y, roots, n);
        for (long k = 0; k < bins; k++) {
            float_number bin = float_unpack(z, n, k, turns + 2 * k);
            float_vector level = bin.re * bin.re + bin.im * bin.im;
            for (long l = 0; l < LANES; l++)
                level[l] = sqrtf(level[l]);
            /* The phase of a silent bin is zero, as in torch.angle. */
            float_vector silent = __builtin_convertvector(-(level == 0), float_vector);
            float_vector re = bin.re / (level + silent) + silent, im = bin.im / (level + silent);
            for (long l = 0; l < lanes; l++) {
                magnitude[(first + l) * bins + k] = level[l];
                unit[(l + 1) * row + k] = re[l];
                unit[(l + 1) * row + bins + k] = im[l];
            }
        }
        if (first == 0) memcpy(start, unit + row, row * sizeof *start);
        for (long l = first == 0; l < lanes; l++) {
            const float *a = unit + l * row, *b = a + row;
            float *out = advance + (first + l - 1) * row;
            for (long k = 0; k < bins; k++) {
                out[k] = b[k] * a[k] + b[bins + k] * a[bins + k];
                out[bins + k] = b[bins + k] * a[k] - b[k] * a[bins + k];
            }
        }
        memcpy(unit, unit + lanes * row, row * sizeof *unit);
    }
    /* Two silent frames follow. */
    float *last = advance + (count - 1) * row;
    for (long k = 0; k < bins; k++) {
        last[k] = unit[k];
        last[bins + k] = -unit[bins + k];
        last[row + k] = 1;
        last[row + bins + k] = 0;
    }
    memset(magnitude + count * bins, 0, 2 * bins * sizeof *magnitude);
    free(x);
    free(unit);
    return 0;
}

KERNEL int stretch(const float *magnitude, const float *advance, const float *start, long count, double rate, long hop,
                   long n_fft, const float *window, const float *roots, const float *turns, float *signal,
                   float *envelope)
{
    long n = n_fft / 2, bins = n + 1, row = 2 * bins;
    float_number *x = allocate((2 * n + bins) * sizeof *x), *y = x + n, *spectrum = y + n;
    float *phase = allocate((row + n_fft * LANES) * sizeof *phase), *frames = phase + row;
    if (!x || !phase) {
        free(x);
        free(phase);
        return 1;
    }
    memset(spectrum, 0, bins * sizeof *spectrum);
    for (long first = 0; first < count; first += LANES) {
        long lanes = count - first < LANES ? count - first : LANES;
        for (long l = 0; l < lanes; l++) {
            long frame = first + l, before = (long)(frame * rate);
            float between = (float)(frame * rate - before);
            const float *low = magnitude + before * bins, *high = low + bins;
            if (frame == 0)
                memcpy(phase, start, row * sizeof *phase);
            else {
                const float *turn = advance + (long)((frame - 1) * rate) * row;
                for (long k = 0; k < bins; k++) {
                    float re = phase[k] * turn[k] - phase[bins + k] * turn[bins + k];
                    phase[bins + k] = phase[k] * turn[bins + k] + phase[bins + k] * turn[k];
                    phase[k] = re;
                }
            }
            for (long k = 0; k < bins; k++) {
                float level = (low[k] + (high[k] - low[k]) * between) / n_fft;
                spectrum[k].re[l] = phase[k] * level;
                spectrum[k].im[l] = phase[bins + k] * level;
            }
            spectrum[0].im[l] = spectrum[n].im[l] = 0;
        }
        for (long k = 0; k < n; k++)
            x[k] = float_pack(spectrum, n, k, turns + 2 * k);
        float_number *z = float_transform(x, y, roots, n);
        for (long j = 0; j < n; j++) {
            float_vector even = z[j].im * window[2 * j], odd = z[j].re * window[2 * j + 1];
            for (long l = 0; l < LANES; l++) {
                frames[l * n_fft + 2 * j] = even[l];
                frames[l * n_fft + 2 * j + 1] = odd[l];
            }
        }
        for (long l = 0; l < lanes; l++) {
            float *to = signal + (first + l) * hop, *weight = envelope + (first + l) * hop;
            for (long i = 0; i < n_fft; i++) {
                to[i] += frames[l * n_fft + i];
                weight[i] += window[i] * window[i];
            }
        }
    }
    free(x);
    free(phase);
    return 0;
}

KERNEL int resample(const float *wave, long samples, long every, long step, const float *filters, long places,
                    long taps, float *out)
{
    double scale = (double)places / every;
    for (long i = 0, at = 0, phase = 0; i < samples; i++) {
        const float *x = wave + at;
        long place = (long)(phase * scale);
        float between = (float)(phase * scale - place);
        const float *filter = filters + place * taps, *next = filter + taps;
        float_vector sums = {0};
        for (long t = 0; t < taps; t += LANES) {
            float_vector a, b, c;
            memcpy(&a, filter + t, sizeof a);
            memcpy(&b, next + t, sizeof b);
            memcpy(&c, x + t, sizeof c);
            sums += c * (a + between * (b - a));
        }
        out[i] = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
        at += step / every;
        phase += step % every;
        if (phase >= every) {
            phase -= every;
            at++;
        }
    }
    return 0;
}
