#include "capture.h"

#include <algorithm>
#include <set>

#include "graph.h"
#include "memory.h"

namespace emulated {

namespace {

thread_local CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

std::vector<std::shared_ptr<Capture>> running_captures() {
  std::vector<std::shared_ptr<Capture>> running;
  for (const auto& weak : driver().captures)
    if (auto capture = weak.lock(); capture && capture->active) running.push_back(capture);
  return running;
}

bool forbids_unsafe_calls(const Capture& capture) {
  if (thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED) return false;
  bool own = capture.thread == std::this_thread::get_id();
  if (own) return capture.mode != CU_STREAM_CAPTURE_MODE_RELAXED;
  return thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL && capture.mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
}

/// The capture of some blocking stream: while it lasts the legacy stream cannot be used.
std::shared_ptr<Capture> blocking_capture() {
  for (const auto& capture : running_captures())
    for (const auto& weak : capture->streams)
      if (auto stream = weak.lock(); stream && stream->blocking()) return capture;
  return nullptr;
}

std::vector<Edge> tail_edges(const Stream& stream) {
  std::vector<Edge> edges;
  for (Node* node : stream.tail) edges.push_back({node, {}});
  return edges;
}

void join(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Capture>& capture) {
  if (stream->capture == capture) return;
  stream->capture = capture;
  stream->tail.clear();
  capture->streams.push_back(stream);
}

/// Captures into `graph`, or into a new one.
void begin(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Graph>& graph, CUstreamCaptureMode mode) {
  static uint64_t ids = 0;
  require(stream != legacy_stream(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  require(!stream->capture, CUDA_ERROR_ILLEGAL_STATE);
  require(mode >= CU_STREAM_CAPTURE_MODE_GLOBAL && mode <= CU_STREAM_CAPTURE_MODE_RELAXED);
  auto capture = std::make_shared<Capture>();
  capture->id = ++ids;
  capture->graph = graph ? graph : make_graph();
  capture->graph->capturing = true;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = stream;
  capture->owns_graph = !graph;
  join(stream, capture);
  driver().captures.push_back(capture);
}

void mark_upstream(Node* node, std::set<Node*>& seen) {
  std::vector<Node*> open{node};
  while (!open.empty()) {
    Node* next = open.back();
    open.pop_back();
    if (!seen.insert(next).second) continue;
    for (const Edge& edge : next->in) open.push_back(edge.from);
  }
}

/// Whether every stream that joined was joined back: nothing it captured lies outside the origin's past.
bool joined(const Capture& capture) {
  std::set<Node*> past;
  for (Node* node : capture.origin->tail) mark_upstream(node, past);
  for (Node* node : capture.replaced) mark_upstream(node, past);
  for (const auto& weak : capture.streams) {
    auto stream = weak.lock();
    if (!stream) continue;
    for (Node* node : stream->tail)
      if (!past.count(node)) return false;
  }
  return true;
}

void end(Capture& capture) {
  capture.active = false;
  capture.graph->capturing = false;
  for (const auto& weak : capture.streams)
    if (auto stream = weak.lock()) {
      stream->capture = nullptr;
      stream->tail.clear();
    }
}

}  // namespace

void invalidate(Capture& capture) { capture.valid = false; }

bool check_capture(const std::shared_ptr<Stream>& stream) {
  if (stream == legacy_stream()) {
    if (auto capture = blocking_capture()) {
      invalidate(*capture);
      fail(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    }
    return false;
  }
  if (!stream->capture) return false;
  require(stream->capture->valid, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  return true;
}

void refuse_while_capturing(Stream& stream) {
  if (stream.capture) {
    require(stream.capture->valid, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    invalidate(*stream.capture);
    fail(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  }
  if (&stream != legacy_stream().get()) return;
  if (auto capture = blocking_capture()) {
    invalidate(*capture);
    fail(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  }
}

void refuse_unsafe_call() {
  bool refused = false;
  for (const auto& capture : running_captures())
    if (forbids_unsafe_calls(*capture)) {
      invalidate(*capture);
      refused = true;
    }
  require(!refused, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
}

void capture_work(Stream& stream, Work work) {
  Node* node = add_node(*stream.capture->graph, std::move(work), tail_edges(stream));
  stream.tail = {node};
}

CUdeviceptr capture_allocation(Stream& stream, const std::shared_ptr<Pool>& pool, size_t bytes) {
  auto memory = reserve_for_graph(pool, bytes);
  capture_work(stream, AllocWork{memory, bytes, pool->properties});
  return memory->address;
}

void capture_record(Event& event, Stream& stream) {
  event.capture = stream.capture;
  event.nodes = stream.tail;
  event.mark = {};
  event.recorded = true;
}

void capture_wait(const std::shared_ptr<Stream>& stream, const Event& event) {
  if (stream->capture && stream->capture != event.capture) {
    invalidate(*stream->capture);
    invalidate(*event.capture);
    fail(CUDA_ERROR_STREAM_CAPTURE_MERGE);
  }
  require(event.capture->valid, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  require(stream != legacy_stream(), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  join(stream, event.capture);
  for (Node* node : event.nodes)
    if (std::find(stream->tail.begin(), stream->tail.end(), node) == stream->tail.end()) stream->tail.push_back(node);
}

}  // namespace emulated

using namespace emulated;

DRIVER_API cuStreamBeginCapture_v2(CUstream where, CUstreamCaptureMode mode) {
  return call(__func__, Needs::Context, [&] { begin(stream_of(where), nullptr, mode); });
}

DRIVER_API cuStreamBeginCaptureToGraph(CUstream where, CUgraph handle, const CUgraphNode* from,
                                       const CUgraphEdgeData* data, size_t count, CUstreamCaptureMode mode) {
  return call(__func__, Needs::Context, [&] {
    auto stream = stream_of(where);
    auto graph = live(handle);
    require(!graph->capturing);
    auto edges = edges_from(*graph, from, data, count);
    begin(stream, graph, mode);
    for (const Edge& edge : edges) stream->tail.push_back(edge.from);
  });
}

DRIVER_API cuStreamEndCapture(CUstream where, CUgraph* out) {
  return call(__func__, Needs::Context, [&] {
    require(out != nullptr);
    *out = nullptr;
    auto stream = stream_of(where);
    auto capture = stream->capture;
    require(capture != nullptr, CUDA_ERROR_ILLEGAL_STATE);
    require(capture->origin == stream, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    bool bound = capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED;
    require(!bound || capture->thread == std::this_thread::get_id(), CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    bool complete = joined(*capture);
    end(*capture);
    if (capture->valid && complete) {
      *out = capture->graph->handle;
      return;
    }
    if (capture->owns_graph) forget_graph(*capture->graph);
    fail(capture->valid ? CUDA_ERROR_STREAM_CAPTURE_UNJOINED : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  });
}

namespace {

CUstreamCaptureStatus status_of(const std::shared_ptr<Stream>& stream) {
  if (stream == legacy_stream()) require(!blocking_capture(), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  if (!stream->capture) return CU_STREAM_CAPTURE_STATUS_NONE;
  return stream->capture->valid ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_INVALIDATED;
}

void capture_info(CUstream where, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
                  const CUgraphNode** nodes, const CUgraphEdgeData** data, size_t* count) {
  static thread_local std::vector<CUgraphNode> handles;
  static thread_local std::vector<CUgraphEdgeData> edges;
  require(status != nullptr);
  auto stream = stream_of(where);
  *status = status_of(stream);
  if (count) *count = 0;
  if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return;
  handles.clear();
  for (Node* node : stream->tail) handles.push_back(node->handle);
  edges.assign(handles.size(), {});
  if (id) *id = stream->capture->id;
  if (graph) *graph = stream->capture->graph->handle;
  if (nodes) *nodes = handles.data();
  if (data) *data = edges.data();
  if (count) *count = handles.size();
}

void update_dependencies(CUstream where, CUgraphNode* nodes, size_t count, unsigned flags) {
  auto stream = stream_of(where);
  require(stream->capture != nullptr, CUDA_ERROR_ILLEGAL_STATE);
  check_capture(stream);
  require(flags <= CU_STREAM_SET_CAPTURE_DEPENDENCIES);
  auto edges = edges_from(*stream->capture->graph, nodes, nullptr, count);
  auto& replaced = stream->capture->replaced;
  if (flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES)
    replaced.insert(replaced.end(), stream->tail.begin(), stream->tail.end()), stream->tail.clear();
  for (const Edge& edge : edges)
    if (std::find(stream->tail.begin(), stream->tail.end(), edge.from) == stream->tail.end())
      stream->tail.push_back(edge.from);
}

}  // namespace

DRIVER_API cuStreamIsCapturing(CUstream where, CUstreamCaptureStatus* status) {
  return call(__func__, Needs::Context, [&] { *status = status_of(stream_of(where)); });
}

DRIVER_API cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id) {
  return call(__func__, Needs::Context, [&] { capture_info(stream, status, id, nullptr, nullptr, nullptr, nullptr); });
}

DRIVER_API cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
                                     const CUgraphNode** nodes, size_t* count) {
  return call(__func__, Needs::Context, [&] { capture_info(stream, status, id, graph, nodes, nullptr, count); });
}

DRIVER_API cuStreamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
                                     const CUgraphNode** nodes, const CUgraphEdgeData** data, size_t* count) {
  return call(__func__, Needs::Context, [&] { capture_info(stream, status, id, graph, nodes, data, count); });
}

DRIVER_API cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode* nodes, size_t count, unsigned flags) {
  return call(__func__, Needs::Context, [&] { update_dependencies(stream, nodes, count, flags); });
}

DRIVER_API cuStreamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode* nodes, const CUgraphEdgeData*,
                                                size_t count, unsigned flags) {
  return call(__func__, Needs::Context, [&] { update_dependencies(stream, nodes, count, flags); });
}

DRIVER_API cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return call(__func__, Needs::Init, [&] { std::swap(*mode, thread_mode); });
}
