"""A kernel appends as many elements as it finds; the count stays on the device, and comes back by itself."""

import numpy as np

import cudagraph as cg

SOURCE = cg.CudaSource("""
#include "append.cuh"

extern "C" __global__ void find_peaks(const float* signal, float threshold, int* peaks, unsigned int* count,
                                      unsigned int capacity, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n || signal[i] <= threshold) return;
    const int slot = append_slot(count, capacity);  // -1 when there is no room: nothing is written out of bounds
    if (slot >= 0) peaks[slot] = i;
}
""")


class FindPeaks(cg.Block):
    """Indices of the samples above a threshold."""

    def __init__(self, capacity: int, threshold: float) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.signal = b.input("signal", ("n",))
            self.threshold = b.parameter("threshold", threshold)
            self.peaks = b.append_output("peaks", "int32", capacity)
            b.kernel(
                SOURCE, elements="n", signal=self.signal, threshold=self.threshold,
                peaks=self.peaks, count=self.peaks.count, capacity=capacity, n="n",
            )  # fmt: skip


with cg.CudaEngine() as engine:
    find = engine.add(FindPeaks(capacity=8, threshold=0.99))
    engine.bind(find.signal, np.sin(np.arange(100, dtype=np.float32)))
    engine.update(sync=True)
    count = int(engine.read(find.peaks.count))
    print(count, "peaks at", sorted(engine.read(find.peaks)[:count].tolist()))

    find.threshold.value = 0.5  # more than fit
    engine.update(sync=True)
    print("counted", find.debug.append_counts, "lost", find.debug.append_overflow)
    print(find.debug.state, "-", find.debug.message)
