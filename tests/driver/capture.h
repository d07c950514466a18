// Stream capture: work goes into a graph instead of a queue, and the calls that are refused meanwhile.
#pragma once

#include <thread>

#include "driver.h"
#include "stream.h"
#include "work.h"

namespace emulated {

struct Capture {
  uint64_t id = 0;
  std::shared_ptr<Graph> graph;
  CUstreamCaptureMode mode{};
  std::thread::id thread;
  std::shared_ptr<Stream> origin;
  std::vector<std::weak_ptr<Stream>> streams;  // all that joined, the origin included
  std::vector<Node*> replaced;                 // dependencies that the user took out of a stream on purpose
  bool owns_graph = true;
  bool active = true;       // until it is ended
  bool valid = true;
};

/// Whether the stream captures; fails when its capture is invalid or the legacy stream may not be used now.
bool check_capture(const std::shared_ptr<Stream>& stream);
void refuse_while_capturing(Stream& stream);
/// Fails (and invalidates) when a capture forbids calls that are not stream-ordered, such as allocations.
void refuse_unsafe_call();
void invalidate(Capture& capture);

void capture_work(Stream& stream, Work work);
CUdeviceptr capture_allocation(Stream& stream, const std::shared_ptr<Pool>& pool, size_t bytes);
void capture_record(Event& event, Stream& stream);
void capture_wait(const std::shared_ptr<Stream>& stream, const Event& event);

/// Takes an address for a graph's allocation node; usable from there to the free node only.
std::shared_ptr<const GraphMemory> reserve_for_graph(const std::shared_ptr<Pool>& pool, size_t bytes);

}  // namespace emulated
