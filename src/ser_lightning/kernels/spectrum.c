/* Spectra of frames, and features of them. See the docstrings of spectrum.py for each function. */

#include "kernels.h"

#define REAL double
#define LANES 4
#define OF(x) double_##x
#include "fft.h"

KERNEL int spectra(const float *frames, long count, long hop, long n_fft, const double *window, const double *roots,
                   const double *turns, float *out)
{
    long n = n_fft / 2, bins = n + 1;
    double_number *x = allocate(2 * n * sizeof *x), *y = x + n;
    if (!x) return 1;
    for (long first = 0; first < count; first += LANES) {
        const float *from[LANES];
        float *to[LANES];
        for (long l = 0; l < LANES; l++) {
            /* Lanes beyond the last frame repeat it. */
            long frame = first + l < count ? first + l : count - 1;
            from[l] = frames + frame * hop;
            to[l] = out + frame * 2 * bins;
        }
        for (long j = 0; j < n; j++) {
            double_vector even, odd;
            for (long l = 0; l < LANES; l++) {
                even[l] = from[l][2 * j];
                odd[l] = from[l][2 * j + 1];
            }
            x[j].re = even * window[2 * j];
            x[j].im = odd * window[2 * j + 1];
        }
        double_number *z = double_transform(x, y, roots, n);
        for (long k = 0; k < bins; k++) {
            double_number bin = double_unpack(z, n, k, turns + 2 * k);
            for (long l = 0; l < LANES; l++) {
                to[l][2 * k] = (float)bin.re[l];
                to[l][2 * k + 1] = (float)bin.im[l];
            }
        }
    }
    free(x);
    return 0;
}

KERNEL int energies(const float *frames, long count, long hop, long n_fft, float *out)
{
    for (long k = 0; k < count; k++) {
        const float *frame = frames + k * hop;
        /* Sums of every sixteenth sample: an order of additions that a processor of any width keeps. */
        float sums[16] = {0}, sum = 0;
        long i = 0;
        for (; i + 16 <= n_fft; i += 16)
            for (long l = 0; l < 16; l++)
                sums[l] += frame[i + l] * frame[i + l];
        for (; i < n_fft; i++)
            sum += frame[i] * frame[i];
        for (long l = 0; l < 16; l++)
            sum += sums[l];
        out[k] = sum;
    }
    return 0;
}

KERNEL int crossings(const float *wave, long samples, long count, long hop, long n_fft, float *out)
{
    unsigned char *changes = malloc(samples + 1);
    if (!changes) return 1;
    /* Values above -1e-10 count as positive. */
    for (long i = 1; i < samples; i++)
        changes[i] = (wave[i] < -1e-10f) ^ (wave[i - 1] < -1e-10f);
    for (long k = 0; k < count; k++) {
        /* A change from the last sample of the frame before to the first of this one is not in this frame. The ends
           are padded with their own value, so nothing changes there. */
        long start = k * hop - n_fft / 2, end = start + n_fft, total = 0;
        if (end > samples) end = samples;
        for (long i = start < 0 ? 1 : start + 1; i < end;) {
            unsigned char some = 0; /* of at most 255, which a byte can count */
            for (long stop = i + 255 < end ? i + 255 : end; i < stop; i++)
                some += changes[i];
            total += some;
        }
        out[k] = (float)((double)total / n_fft);
    }
    free(changes);
    return 0;
}

typedef float eight __attribute__((vector_size(32)));

INLINE eight read_eight(const float *from)
{
    eight values;
    memcpy(&values, from, sizeof values);
    return values;
}

INLINE float sum_of_eight(eight x)
{
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

KERNEL int bands(const float *power, long count, long bins, const long *first, const long *width,
                 const float *weights, long filters, float *out)
{
    for (long k = 0; k < count; k++) {
        const float *weight = weights;
        for (long m = 0; m < filters; m++) {
            const float *here = power + k * bins + first[m];
            eight sums = {0};
            float rest = 0;
            long i = 0;
            for (; i + 8 <= width[m]; i += 8)
                sums += read_eight(weight + i) * read_eight(here + i);
            for (; i < width[m]; i++)
                rest += weight[i] * here[i];
            out[k * filters + m] = sum_of_eight(sums) + rest;
            weight += width[m];
        }
    }
    return 0;
}

/* Return the k-th smallest value; smaller values are moved before it and larger ones after it. */
INLINE float smallest(float *values, long count, long k)
{
    long low = 0, high = count - 1;
    while (low < high) {
        float pivot = values[(low + high) / 2];
        long i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot) i++;
            while (values[j] > pivot) j--;
            if (i <= j) {
                float other = values[i];
                values[i++] = values[j];
                values[j--] = other;
            }
        }
        if (k <= j) high = j;
        else if (k >= i) low = i;
        else break;
    }
    return values[k];
}

KERNEL long peaks(const float *spectrum, long count, long bins, long low, long high, float height, double rate,
                  double n_fft, float *pitch)
{
    long found = 0, kept = 0, most = count * (1 + (high - low) / 2); /* neighbors cannot both be peaks */
    unsigned char *is_peak = calloc(high - low + 8, 1);
    float *strength = malloc(2 * most * sizeof *strength), *sorted = strength + most;
    if (!is_peak || !strength) {
        free(is_peak);
        free(strength);
        return -1;
    }
    for (long k = 0; k < count; k++) {
        const float *row = spectrum + k * bins;
        float tops[16] = {0}, top = 0;
        long i = 0;
        for (; i + 16 <= bins; i += 16)
            for (long l = 0; l < 16; l++)
                tops[l] = row[i + l] > tops[l] ? row[i + l] : tops[l];
        for (; i < bins; i++)
            top = row[i] > top ? row[i] : top;
        for (long l = 0; l < 16; l++)
            top = tops[l] > top ? tops[l] : top;
        float threshold = height * top;
        for (long c = low; c < high; c++)
            is_peak[c - low] = (row[c] > threshold) & (row[c] > row[c - 1]) & (row[c] >= row[c + 1]);
        for (long eight = low; eight < high; eight += 8) {
            unsigned long long any;
            memcpy(&any, is_peak + eight - low, 8);
            if (!any) continue;
            for (long c = eight; c < eight + 8 && c < high; c++) {
                if (!is_peak[c - low]) continue;
                /* A parabola through the peak and its neighbors, in librosa's precision. */
                float left = row[c - 1], middle = row[c], right = row[c + 1], sum = right + left;
                float difference = right - left, shift = 0;
                double curvature = (double)sum - 2.0 * (double)middle, slope = (double)difference / 2;
                if (fabs(slope) < fabs(curvature)) shift = (float)(-slope / curvature);
                pitch[found] = (float)(((double)c + (double)shift) * rate / n_fft);
                strength[found++] = middle + 0.5f * (difference / 2.0f) * shift;
            }
        }
    }
    if (found) {
        memcpy(sorted, strength, found * sizeof *sorted);
        float upper = smallest(sorted, found, found / 2), lower = upper;
        if (found % 2 == 0) {
            lower = sorted[0];
            for (long i = 1; i < found / 2; i++)
                lower = sorted[i] > lower ? sorted[i] : lower;
        }
        float median = (lower + upper) / 2.0f;
        for (long i = 0; i < found; i++)
            if (strength[i] >= median) pitch[kept++] = pitch[i];
    }
    free(is_peak);
    free(strength);
    return kept;
}

KERNEL long mode(const float *octaves, long count, float n_chroma, const double *edges, long bins)
{
    long *counts = calloc(bins, sizeof *counts), best = 0;
    if (!counts) return -1;
    for (long i = 0; i < count; i++) {
        float deviation = n_chroma * octaves[i];
        deviation -= floorf(deviation); /* every pitch is above A0, so this is the remainder, exactly */
        if (deviation >= 0.5f) deviation -= 1;
        /* Guess the bin, then correct it by the edges. */
        long bin = (long)((deviation - edges[0]) / (edges[bins] - edges[0]) * bins);
        bin = bin < 0 ? 0 : bin < bins ? bin : bins - 1;
        while (bin > 0 && deviation < edges[bin]) bin--;
        while (bin < bins - 1 && deviation >= edges[bin + 1]) bin++;
        counts[bin]++;
    }
    for (long bin = 1; bin < bins; bin++)
        if (counts[bin] > counts[best]) best = bin;
    free(counts);
    return best;
}
