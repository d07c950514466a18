// Kernels for the driver's own tests, written straight against the runtime's interface: no compiler of kernels needed.
#include <abi.h>

namespace {

template <class T> T argument(const cg_launch* launch, int index) { return *static_cast<T*>(launch->arguments[index]); }

/// Calls `body` with the global x index of every thread of the blocks.
template <class Body> void each(const cg_launch* launch, cg_i64 first, cg_i64 last, Body body) {
  for (cg_i64 block = first; block < last; ++block)
    for (cg_u32 thread = 0; thread < launch->threads[0]; ++thread)
      body(block % launch->grid[0] * launch->threads[0] + thread);
}

// saxpy(int n, float a, const float* x, float* y): y += a * x
void saxpy(const cg_launch* launch, cg_i64 first, cg_i64 last) {
  int n = argument<int>(launch, 0);
  float a = argument<float>(launch, 1);
  const float* x = argument<const float*>(launch, 2);
  float* y = argument<float*>(launch, 3);
  each(launch, first, last, [&](cg_i64 i) {
    if (i < n) y[i] += a * x[i];
  });
}

// scale(float* y, int n, float s): y *= s
void scale(const cg_launch* launch, cg_i64 first, cg_i64 last) {
  float* y = argument<float*>(launch, 0);
  int n = argument<int>(launch, 1);
  float s = argument<float>(launch, 2);
  each(launch, first, last, [&](cg_i64 i) {
    if (i < n) y[i] *= s;
  });
}

// count_down(unsigned long long condition, int* left): condition = --*left > 0
void count_down(const cg_launch* launch, cg_i64, cg_i64) {
  int* left = argument<int*>(launch, 1);
  *argument<volatile unsigned*>(launch, 0) = --*left > 0;
}

const cg_u32 saxpy_sizes[] = {4, 4, 8, 8}, scale_sizes[] = {8, 4, 4}, count_down_sizes[] = {8, 8};

const cg_kernel kernels[] = {
    {"saxpy", saxpy, saxpy_sizes, saxpy_sizes, 4, 0},
    {"scale", scale, scale_sizes, scale_sizes, 3, 0},
    {"count_down", count_down, count_down_sizes, count_down_sizes, 2, 0},
};

float gain[4] = {1, 2, 3, 4};
const cg_variable variables[] = {{"gain", gain, sizeof gain}};

cg_module module{CG_ABI_VERSION, 3, kernels, variables, 1, 0, nullptr};

}  // namespace

CG_EXPORT cg_module* cg_module_open(const cg_runtime*) { return &module; }
