// mask[p, y, x] = 0 where a seed (i, j) has y - S < i <= y and x - S < j <= x, else 1; kept = sum of mask
//
// Layout: seeds is planes x (height - S + 1) x (width - S + 1) bytes, mask planes x height x width bytes; S is size.
// Idea:   a thread goes along a row and remembers the last column with a seed, so an element costs S reads, which
//         neighbouring rows find in the cache. One atomic addition per row.
// Floor:  2 planes x height x width bytes; S reads from the cache for each.

extern "C" __global__ void drop_block_mask(const unsigned char* __restrict__ seeds, unsigned char* __restrict__ mask, unsigned int* __restrict__ kept, bool training, long long rows,
                                           int height, int width, int size)
{
    const long long row = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (!training || row >= rows) return;
    const int inner_height = height - size + 1, inner_width = width - size + 1;
    const int y = static_cast<int>(row % height);
    const unsigned char* plane = seeds + row / height * inner_height * inner_width;
    const int first = max(0, y - size + 1), end = min(y + 1, inner_height);
    int last = -size;
    unsigned int ones = 0;
    for (int x = 0; x < width; ++x) {
        for (int i = first; i < end && x < inner_width; ++i) {
            if (plane[i * inner_width + x]) last = x;
        }
        const bool keep = x - last >= size;
        mask[row * width + x] = keep;
        ones += keep;
    }
    atomicAdd(kept, ones);
}
