// <cooperative_groups.h>: the block, tiles of a warp, and reductions and scans over tiles.
#pragma once

namespace cooperative_groups {

CG_INLINE unsigned cg_rank_in_block() {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

struct thread_block {
  CG_MEMBER static void sync() { __syncthreads(); }
  CG_MEMBER static unsigned thread_rank() { return cg_rank_in_block(); }
  CG_MEMBER static unsigned size() { return blockDim.x * blockDim.y * blockDim.z; }
  CG_MEMBER static unsigned num_threads() { return size(); }
  CG_MEMBER static dim3 group_index() { return blockIdx; }
  CG_MEMBER static dim3 thread_index() { return threadIdx; }
  CG_MEMBER static dim3 group_dim() { return blockDim; }
  CG_MEMBER static dim3 dim_threads() { return blockDim; }
};
CG_INLINE thread_block this_thread_block() { return {}; }

// `Size` consecutive lanes of a warp.
template <unsigned Size, class Parent = thread_block>
struct thread_block_tile {
  static_assert(Size && Size <= 32 && (Size & (Size - 1)) == 0, "a tile has 1, 2, 4, 8, 16 or 32 threads");
  CG_MEMBER static unsigned first_lane() { return (unsigned)cg_lane() & ~(Size - 1); }
  CG_MEMBER static unsigned mask() { return (unsigned)(((1ull << Size) - 1) << first_lane()); }
  CG_MEMBER static constexpr unsigned size() { return Size; }
  CG_MEMBER static constexpr unsigned num_threads() { return Size; }
  CG_MEMBER static unsigned thread_rank() { return (unsigned)cg_lane() & (Size - 1); }
  CG_MEMBER static unsigned meta_group_rank() { return cg_rank_in_block() / Size; }
  CG_MEMBER static unsigned meta_group_size() { return (thread_block::size() + Size - 1) / Size; }
  CG_MEMBER void sync() const { __syncwarp(mask()); }
  template <class T> CG_MEMBER T shfl(T v, int lane) const { return __shfl_sync(mask(), v, lane, Size); }
  template <class T> CG_MEMBER T shfl_up(T v, unsigned d) const { return __shfl_up_sync(mask(), v, d, Size); }
  template <class T> CG_MEMBER T shfl_down(T v, unsigned d) const { return __shfl_down_sync(mask(), v, d, Size); }
  template <class T> CG_MEMBER T shfl_xor(T v, unsigned d) const { return __shfl_xor_sync(mask(), v, (int)d, Size); }
  template <class T> CG_MEMBER unsigned match_any(T v) const { return __match_any_sync(mask(), v) >> first_lane(); }
  CG_MEMBER unsigned ballot(int predicate) const { return __ballot_sync(mask(), predicate) >> first_lane(); }
  CG_MEMBER int any(int predicate) const { return __any_sync(mask(), predicate); }
  CG_MEMBER int all(int predicate) const { return __all_sync(mask(), predicate); }
};

template <unsigned Size, class Parent>
CG_INLINE thread_block_tile<Size, Parent> tiled_partition(const Parent&) { return {}; }

template <class Group> CG_INLINE void sync(const Group& group) { group.sync(); }

template <class T> struct plus { CG_MEMBER T operator()(T a, T b) const { return a + b; } };
template <class T> struct less { CG_MEMBER T operator()(T a, T b) const { return b < a ? b : a; } };
template <class T> struct greater { CG_MEMBER T operator()(T a, T b) const { return a < b ? b : a; } };
template <class T> struct bit_and { CG_MEMBER T operator()(T a, T b) const { return a & b; } };
template <class T> struct bit_or { CG_MEMBER T operator()(T a, T b) const { return a | b; } };
template <class T> struct bit_xor { CG_MEMBER T operator()(T a, T b) const { return a ^ b; } };

template <class Tile, class T, class Combine>
CG_INLINE T reduce(const Tile& tile, T value, Combine combine) {
  for (unsigned step = Tile::size() / 2; step; step >>= 1) value = combine(value, tile.shfl_xor(value, step));
  return value;
}
template <class Tile, class T, class Combine>
CG_INLINE T inclusive_scan(const Tile& tile, T value, Combine combine) {
  for (unsigned step = 1; step < Tile::size(); step <<= 1) {
    T before = tile.shfl_up(value, step);
    if (tile.thread_rank() >= step) value = combine(before, value);
  }
  return value;
}
template <class Tile, class T>
CG_INLINE T inclusive_scan(const Tile& tile, T value) { return inclusive_scan(tile, value, plus<T>()); }
template <class Tile, class T>
CG_INLINE T exclusive_scan(const Tile& tile, T value) {
  T before = tile.shfl_up(inclusive_scan(tile, value, plus<T>()), 1);
  return tile.thread_rank() ? before : T(0);
}

}  // namespace cooperative_groups
