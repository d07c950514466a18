// y[batch, j, i] = x[batch, i, j], where the dimensions of the batch have strides of their own on each side
//
// Layout: j is the last dimension of x and i the last of y: x[i * x_i + j + ...], y[j * y_j + i + ...]. Up to four dimensions
//         of the batch are the grid's z. Threads: 32 x 8, the grid's x over tiles along j, its y along i.
// Idea:   a tile goes through shared memory, so that both sides are read and written along their last dimension; a pitch of one
//         element more keeps the banks apart. Types of one or two bytes take tiles of 64, to fill the sectors. On a CPU one
//         thread turns the tile, which its cache holds: no thread waits for another one.
// Floor:  2 elements of traffic for each that is moved.

constexpr int SIDE = sizeof(T) < 4 ? 64 : 32;

__device__ inline long long place(unsigned int batch, unsigned int n1, unsigned int n2, unsigned int n3, long long s0, long long s1, long long s2, long long s3)
{
    long long at = batch % n3 * s3;
    batch /= n3;
    at += batch % n2 * s2;
    batch /= n2;
    return at + batch % n1 * s1 + batch / n1 * s0;
}

extern "C" __global__ void permute_tile(const T* __restrict__ x, T* __restrict__ y, int rows, int columns, long long x_i, long long y_j, unsigned int batch, unsigned int n1, unsigned int n2, unsigned int n3, long long x0, long long x1, long long x2, long long x3, long long y0, long long y1, long long y2, long long y3)
{
    const int left = blockIdx.x * SIDE, top = blockIdx.y * SIDE;
    if (left >= columns || top >= rows) return;
    for (unsigned int b = blockIdx.z; b < batch; b += gridDim.z) {
        const T* source = x + place(b, n1, n2, n3, x0, x1, x2, x3) + top * x_i + left;
        T* target = y + place(b, n1, n2, n3, y0, y1, y2, y3) + left * y_j + top;
        const int high = rows - top < SIDE ? rows - top : SIDE, wide = columns - left < SIDE ? columns - left : SIDE;
#ifdef CUDAGRAPH_HOST
        if (threadIdx.x + threadIdx.y > 0) continue;
        for (int j = 0; j < wide; ++j) {
            for (int i = 0; i < high; ++i) target[j * y_j + i] = source[i * x_i + j];
        }
#else
        __shared__ T tile[SIDE][SIDE + 4 / sizeof(T) + (sizeof(T) > 4)];
#pragma unroll
        for (int i = threadIdx.y; i < SIDE; i += 8) {
#pragma unroll
            for (int j = threadIdx.x; j < SIDE; j += 32) {
                if (i < high && j < wide) tile[i][j] = source[i * x_i + j];
            }
        }
        __syncthreads();
#pragma unroll
        for (int j = threadIdx.y; j < SIDE; j += 8) {
#pragma unroll
            for (int i = threadIdx.x; i < SIDE; i += 32) {
                if (i < high && j < wide) target[j * y_j + i] = tile[i][j];
            }
        }
        __syncthreads();
#endif
    }
}
