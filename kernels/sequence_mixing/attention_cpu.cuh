// Attention of one block of query rows on a CPU: one thread, tiles of 64 keys, vectors over keys and over values.
//
// Scores of a tile are a small matrix product (rows x HEAD) (HEAD x 64) with the keys transposed once per tile, weights
// times values another one; both keep a block of sums in registers. Few rows (decoding) take dot products instead.
#pragma once

#include "attention.cuh"

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define SUM_ROWS 8
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define SUM_ROWS 4
#else
#define VECTOR_BYTES 16
#define SUM_ROWS 4
#endif

template <class Real> struct Vectors;
template <> struct Vectors<float> {
    typedef float Vector __attribute__((vector_size(VECTOR_BYTES)));
    typedef int Whole __attribute__((vector_size(VECTOR_BYTES)));
    typedef float Loose __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
    static constexpr int count = VECTOR_BYTES / 4;
};
template <> struct Vectors<double> {
    typedef double Vector __attribute__((vector_size(VECTOR_BYTES)));
    typedef double Loose __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
    static constexpr int count = VECTOR_BYTES / 8;
};

template <class Real> using Vector = typename Vectors<Real>::Vector;
template <class Real> using Loose = typename Vectors<Real>::Loose;

// 2^x for x <= 0, to about 1 ulp; 0 below 2^-126.
inline Vector<float> power_of_two(Vector<float> x)
{
    x = x < -127.0f ? Vector<float>{} - 127.0f : x;
    const Vector<float> nearest = (x + 12582912.0f) - 12582912.0f;
    const Vector<float> r = (x - nearest) * 0.693147181f;
    Vector<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const Vectors<float>::Whole exponent = (__builtin_convertvector(nearest, Vectors<float>::Whole) + 127) << 23;
    return p * reinterpret_cast<const Vector<float>&>(exponent);
}

inline Vector<double> power_of_two(Vector<double> x)
{
    Vector<double> y;
    for (int i = 0; i < Vectors<double>::count; ++i) y[i] = exp2(x[i]);
    return y;
}

// The sum of all lanes, halving the vector: halves taken by copies are register moves, loops over lanes are not.
template <class Real, int COUNT> inline Real sum_of_lanes(const Real* x)
{
    if constexpr (COUNT == 1) {
        return x[0];
    } else {
        typedef Real Half __attribute__((vector_size(COUNT / 2 * sizeof(Real))));
        Half low, high;
        __builtin_memcpy(&low, x, sizeof low);
        __builtin_memcpy(&high, x + COUNT / 2, sizeof high);
        low += high;
        Real next[COUNT / 2];
        __builtin_memcpy(next, &low, sizeof low);
        return sum_of_lanes<Real, COUNT / 2>(next);
    }
}

template <class Real> inline Real sum_of(Vector<Real> x)
{
    Real lanes[Vectors<Real>::count];
    __builtin_memcpy(lanes, &x, sizeof x);
    return sum_of_lanes<Real, Vectors<Real>::count>(lanes);
}

// sums[r][c] += left[r][k] * right[k][c] for LINES rows and ACROSS vectors of columns.
template <int LINES, int ACROSS, class Real>
inline void multiply_block(const Real* left, int left_pitch, const Real* right, long long right_pitch, int inner,
                           Real* sums, int pitch)
{
    constexpr int lanes = Vectors<Real>::count;
    Vector<Real> sum[LINES][ACROSS];
    for (int r = 0; r < LINES; ++r) {
        const auto* const line = reinterpret_cast<const Loose<Real>*>(sums + r * pitch);
        for (int c = 0; c < ACROSS; ++c) sum[r][c] = line[c];
    }
    for (int k = 0; k < inner; ++k) {
        Vector<Real> line[ACROSS];
        for (int c = 0; c < ACROSS; ++c) {
            line[c] = *reinterpret_cast<const Loose<Real>*>(right + k * right_pitch + c * lanes);
        }
        for (int r = 0; r < LINES; ++r) {
            const Real factor = left[r * left_pitch + k];
            for (int c = 0; c < ACROSS; ++c) sum[r][c] += factor * line[c];
        }
    }
    for (int r = 0; r < LINES; ++r) {
        for (int c = 0; c < ACROSS; ++c) *reinterpret_cast<Loose<Real>*>(sums + r * pitch + c * lanes) = sum[r][c];
    }
}

template <int ACROSS, class Real>
inline void multiply_columns(int rows, const Real* left, int left_pitch, const Real* right, long long right_pitch,
                             int inner, Real* sums, int pitch)
{
    int r = 0;
    for (; r + SUM_ROWS <= rows; r += SUM_ROWS) {
        multiply_block<SUM_ROWS, ACROSS>(left + r * left_pitch, left_pitch, right, right_pitch, inner,
                                          sums + r * pitch, pitch);
    }
    for (; r + 2 <= rows; r += 2) {
        multiply_block<2, ACROSS>(left + r * left_pitch, left_pitch, right, right_pitch, inner, sums + r * pitch,
                                  pitch);
    }
    if (r < rows) {
        multiply_block<1, ACROSS>(left + r * left_pitch, left_pitch, right, right_pitch, inner, sums + r * pitch,
                                  pitch);
    }
}

// sums += left (rows x inner) * right (inner x columns); columns are whole vectors.
template <class Real>
inline void multiply(int rows, int columns, const Real* left, int left_pitch, const Real* right, long long right_pitch,
                     int inner, Real* sums, int pitch)
{
    constexpr int lanes = Vectors<Real>::count;
    int c = 0;
    if (rows < SUM_ROWS) {  // few rows: more columns at a time, so that the sums do not wait for each other
        for (; c + 4 * lanes <= columns; c += 4 * lanes) {
            multiply_columns<4>(rows, left, left_pitch, right + c, right_pitch, inner, sums + c, pitch);
        }
    }
    for (; c + 2 * lanes <= columns; c += 2 * lanes) {
        multiply_columns<2>(rows, left, left_pitch, right + c, right_pitch, inner, sums + c, pitch);
    }
    if (c < columns) multiply_columns<1>(rows, left, left_pitch, right + c, right_pitch, inner, sums + c, pitch);
}

template <class Real, int WIDTH> struct Tile {
    static constexpr int lanes = Vectors<Real>::count;
    static constexpr int pitch = (WIDTH + lanes - 1) / lanes * lanes;
};

// `count` rows of `width` elements, the rest of each row zero.
template <int WIDTH, class Real, class X>
inline void load_rows(const X* source, long long stride, int count, Real* target, Real factor = Real(1))
{
    constexpr int pitch = Tile<Real, WIDTH>::pitch;
    for (int j = 0; j < count; ++j) {
        const X* const from = source + j * stride;
        Real* const to = target + j * pitch;
        for (int d = 0; d < WIDTH; ++d) to[d] = factor * static_cast<Real>(widen(from[d]));
        for (int d = WIDTH; d < pitch; ++d) to[d] = Real(0);
    }
}

constexpr int TILE = 64;

// The same with rows and columns swapped, and TILE columns: target[d][j].
template <int WIDTH, class Real, class X>
inline void load_columns(const X* source, long long stride, int count, Real* target)
{
    constexpr int group = 16;
    for (int j0 = 0; j0 < TILE; j0 += group) {
        for (int d = 0; d < WIDTH; ++d) {
            for (int j = 0; j < group; ++j) {
                const int row = j0 + j < count ? j0 + j : count - 1;
                target[d * TILE + j0 + j] = static_cast<Real>(widen(source[row * stride + d]));
            }
        }
    }
}

template <class Real> struct Rows {  // of queries: their running maximum, sum and weighted values
    Real most, sum;
};

// Scores of a tile -> weights, in place; `row` and its values follow the new maximum.
template <class Real> inline void weigh(Real* score, Rows<Real>& row, Real* values)
{
    constexpr int lanes = Vectors<Real>::count;
    using Line = Vector<Real>;
    auto* lines = reinterpret_cast<Loose<Real>*>(score);
    Line high = lines[0];
    for (int c = 1; c < TILE / lanes; ++c) {
        const Line line = lines[c];
        high = line > high ? line : high;
    }
    Real most = row.most;
    for (int i = 0; i < lanes; ++i) most = high[i] > most ? high[i] : most;
    const Real base = most == static_cast<Real>(-INFINITY) ? Real(0) : most;
    Line total{};
    for (int c = 0; c < TILE / lanes; ++c) {
        const Line weight = power_of_two(static_cast<Line>(lines[c]) - base);
        lines[c] = weight;
        total += weight;
    }
    if (most != row.most) {
        const bool empty = row.most == static_cast<Real>(-INFINITY);
        const Real shrink = empty ? Real(0) : static_cast<Real>(exp2(row.most - most));
        row.sum *= shrink;
        auto* value = reinterpret_cast<Loose<Real>*>(values);
        for (int c = 0; c < Tile<Real, VALUE>::pitch / lanes; ++c) value[c] = value[c] * shrink;
        row.most = most;
    }
    row.sum += sum_of<Real>(total);
}

template <class Real> inline void bias(const Keys<Real>& keys, Real* score, int query, int from, bool whole)
{
    if (!Keys<Real>::plain) {
        const int some = from + TILE <= keys.count ? TILE : keys.count - from;
        for (int j = 0; j < some; ++j) score[j] = keys.biased(score[j], query, from + j);
    }
    if (whole) return;
    for (int j = 0; j < TILE; ++j) score[j] = keys.sees(query, from + j) ? score[j] : static_cast<Real>(-INFINITY);
}

template <class X, class Y> struct Same { static constexpr bool value = false; };
template <class X> struct Same<X, X> { static constexpr bool value = true; };

// Scores by dot products, for few rows: the keys are read once, as they lie.
template <class Real, class X>
inline void dot_products(int rows, const Real* query, const X* k, long long stride, int count, Real* score)
{
    constexpr int pitch = Tile<Real, HEAD>::pitch, lanes = Vectors<Real>::count;
    constexpr bool direct = Same<X, Real>::value && pitch == HEAD;
    for (int j = 0; j < count; ++j) {
        alignas(64) Real copy[direct ? 1 : pitch];
        const Real* key = copy;
        if constexpr (direct) key = k + j * stride;
        else load_rows<HEAD>(k + j * stride, stride, 1, copy);
        for (int r = 0; r < rows; ++r) {
            Vector<Real> sum{};
            for (int d = 0; d < pitch; d += lanes) {
                sum += *reinterpret_cast<const Loose<Real>*>(query + r * pitch + d) *
                       *reinterpret_cast<const Loose<Real>*>(key + d);
            }
            score[r * TILE + j] = sum_of<Real>(sum);
        }
    }
    for (int r = 0; r < rows; ++r) {
        for (int j = count; j < TILE; ++j) score[r * TILE + j] = Real(0);
    }
}

// Rows [0, rows) are the queries begin..end of each of `heads` heads, head by head: row = head * (end - begin) + query.
// keys[head] say what they see; all of them read the same keys and values.
template <int LINES, class X>
inline void attend(const Keys<typename Compute<X>::type>* keys, int heads, int begin, int end, const X* q,
                   long long q_head, long long q_token, const X* k, long long k_token, const X* v, long long v_token,
                   X* o, long long o_head, long long o_token)
{
    using Real = typename Compute<X>::type;
    constexpr int value_pitch = Tile<Real, VALUE>::pitch, query_pitch = Tile<Real, HEAD>::pitch;
    constexpr bool direct = Same<X, Real>::value && value_pitch == VALUE;
    const int queries = end - begin, rows = heads * queries;
    alignas(64) Real query[LINES * query_pitch], key[HEAD * TILE], value[direct ? 1 : TILE * value_pitch];
    alignas(64) Real score[LINES * TILE], sums[LINES * value_pitch];
    Rows<Real> row[LINES];
    for (int r = 0; r < rows; ++r) {
        const int head = r / queries, i = begin + r % queries;
        load_rows<HEAD>(q + head * q_head + i * q_token, 0, 1, query + r * query_pitch, keys[head].scale);
        row[r] = {static_cast<Real>(-INFINITY), Real(0)};
    }
    for (int i = 0; i < rows * value_pitch; ++i) sums[i] = Real(0);
    const int first = keys[0].first(begin), last = keys[0].last(end);
    for (int from = first; from < last; from += TILE) {
        const int count = from + TILE <= last ? TILE : last - from;
        const bool whole = keys[0].whole(begin, end, from, from + TILE);
        if (rows < SUM_ROWS) {
            dot_products(rows, query, k + from * k_token, k_token, count, score);
        } else {
            load_columns<HEAD>(k + from * k_token, k_token, count, key);
            for (int i = 0; i < rows * TILE; ++i) score[i] = Real(0);
            multiply(rows, TILE, query, query_pitch, key, TILE, HEAD, score, TILE);
        }
        for (int r = 0; r < rows; ++r) {
            bias(keys[r / queries], score + r * TILE, begin + r % queries, from, whole);
            weigh(score + r * TILE, row[r], sums + r * value_pitch);
        }
        if constexpr (direct) {
            multiply(rows, value_pitch, score, TILE, v + from * v_token, v_token, count, sums, value_pitch);
        } else {
            load_rows<VALUE>(v + from * v_token, v_token, count, value);
            multiply(rows, value_pitch, score, TILE, value, value_pitch, count, sums, value_pitch);
        }
    }
    for (int r = 0; r < rows; ++r) {
        const Real inverse = row[r].sum == Real(0) ? Real(0) : Real(1) / row[r].sum;
        X* to = o + (r / queries) * o_head + (begin + r % queries) * o_token;
        for (int d = 0; d < VALUE; ++d) to[d] = narrow<X>(sums[r * value_pitch + d] * inverse);
    }
}
