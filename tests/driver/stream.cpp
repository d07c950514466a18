#include "stream.h"

#include <algorithm>
#include <chrono>

#include "capture.h"
#include "memory.h"
#include "work.h"

namespace emulated {

namespace {

std::shared_ptr<Stream> make_stream(CUstream handle, unsigned flags) {
  static uint64_t ids = 0;
  auto stream = std::make_shared<Stream>();
  stream->handle = handle;
  stream->flags = flags;
  stream->id = ++ids;
  return stream;
}

/// Work of the legacy stream and of blocking streams waits for each other.
void order_with_legacy(const std::shared_ptr<Stream>& stream, Operation& operation) {
  if (stream == legacy_stream()) {
    for (const auto& [handle, other] : driver().streams)
      if (other->blocking() && !other->capture) operation.after.push_back(tail_of(other));
  } else if (stream->blocking()) {
    operation.after.push_back(tail_of(legacy_stream()));
  }
}

void run_next(Stream& stream) {
  Operation operation = std::move(stream.queue.front());
  stream.queue.pop_front();
  for (const Mark& mark : operation.after) run_until(mark);
  ++stream.completed;
  if (!operation.run || driver().sticky != CUDA_SUCCESS) return;
  DeviceAccess access;
  operation.run();
}

}  // namespace

std::shared_ptr<Stream> legacy_stream() {
  static auto* stream = new std::shared_ptr<Stream>(make_stream(CU_STREAM_LEGACY, CU_STREAM_DEFAULT));
  return *stream;
}

std::shared_ptr<Stream> stream_of(CUstream handle) {
  if (!handle || handle == CU_STREAM_LEGACY) return legacy_stream();
  if (handle == CU_STREAM_PER_THREAD) {
    thread_local auto* own = new std::shared_ptr<Stream>(make_stream(CU_STREAM_PER_THREAD, CU_STREAM_DEFAULT));
    return *own;
  }
  return live(handle, CUDA_ERROR_INVALID_HANDLE);
}

Mark tail_of(const std::shared_ptr<Stream>& stream) { return {stream, stream->issued}; }

bool reached(const Mark& mark) { return !mark.stream || mark.stream->completed >= mark.position; }

Mark enqueue(const std::shared_ptr<Stream>& stream, Operation operation) {
  order_with_legacy(stream, operation);
  auto done = [](const Mark& mark) { return reached(mark); };
  operation.after.erase(std::remove_if(operation.after.begin(), operation.after.end(), done), operation.after.end());
  stream->queue.push_back(std::move(operation));
  ++stream->issued;
  if (stream->queue.size() > driver().settings.depth) run_until({stream, stream->completed + stream->queue.size() / 2});
  return tail_of(stream);
}

void run_until(const Mark& mark) {
  if (!mark.stream) return;
  while (mark.stream->completed < mark.position && !mark.stream->queue.empty()) run_next(*mark.stream);
}

void run_everything() {
  run_until(tail_of(legacy_stream()));
  std::vector<std::shared_ptr<Stream>> streams;
  for (const auto& [handle, stream] : driver().streams) streams.push_back(stream);
  for (const auto& stream : driver().retired)
    if (auto alive = stream.lock()) streams.push_back(alive);
  std::sort(streams.begin(), streams.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
  for (const auto& stream : streams) run_until(tail_of(stream));
  driver().retired.clear();
}

size_t pending_operations() {
  size_t pending = legacy_stream()->queue.size();
  for (const auto& [handle, stream] : driver().streams) pending += stream->queue.size();
  return pending;
}

double now_ms() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace emulated

using namespace emulated;

DRIVER_API cuStreamCreateWithPriority(CUstream* out, unsigned flags, int priority) {
  return call(__func__, Needs::Context, [&] {
    require(out && flags <= CU_STREAM_NON_BLOCKING);
    auto stream = make_stream(nullptr, flags);
    stream->priority = std::max(-5, std::min(0, priority));
    stream->context = current_context();
    stream->handle = *out = driver().streams.add(stream);
  });
}

DRIVER_API cuStreamCreate(CUstream* out, unsigned flags) {
  return call(__func__, Needs::Context, [&] {
    if (CUresult code = cuStreamCreateWithPriority(out, flags, 0)) fail(code);
  });
}

DRIVER_API cuStreamDestroy_v2(CUstream handle) {
  return call(__func__, Needs::Context, [&] {
    auto stream = live(handle, CUDA_ERROR_INVALID_HANDLE);
    if (stream->capture) invalidate(*stream->capture);
    // What is queued still runs: later operations that wait for it hold the stream.
    auto keep = std::make_shared<std::shared_ptr<Stream>>(stream);
    if (!stream->queue.empty()) {
      stream->queue.back().run = [keep, last = stream->queue.back().run] {
        if (last) last();
        keep->reset();
      };
      driver().retired.push_back(stream);
    } else {
      keep->reset();
    }
    driver().streams.remove(handle);
  });
}

DRIVER_API cuStreamSynchronize(CUstream handle) {
  return call(__func__, Needs::Context, [&] {
    auto stream = stream_of(handle);
    refuse_while_capturing(*stream);
    Mark end = tail_of(stream);
    if (stream == legacy_stream()) end = enqueue(stream, {});
    run_until(end);
    if (driver().sticky) fail(driver().sticky);
  });
}

DRIVER_API cuStreamQuery(CUstream handle) {
  return call(__func__, Needs::Context, [&] {
    auto stream = stream_of(handle);
    refuse_while_capturing(*stream);
    if (stream->queue.empty()) return;
    bool again = stream->asked == stream->issued;
    stream->asked = stream->issued;
    require(again, CUDA_ERROR_NOT_READY);
    run_until(tail_of(stream));
    if (driver().sticky) fail(driver().sticky);
  });
}

DRIVER_API cuStreamGetFlags(CUstream handle, unsigned* flags) {
  return call(__func__, Needs::Context, [&] { *flags = stream_of(handle)->flags; });
}

DRIVER_API cuStreamGetPriority(CUstream handle, int* priority) {
  return call(__func__, Needs::Context, [&] { *priority = stream_of(handle)->priority; });
}

DRIVER_API cuStreamGetId(CUstream handle, unsigned long long* id) {
  return call(__func__, Needs::Context, [&] { *id = stream_of(handle)->id; });
}

DRIVER_API cuStreamGetDevice(CUstream handle, CUdevice* device) {
  return call(__func__, Needs::Context, [&] {
    stream_of(handle);
    *device = 0;
  });
}

DRIVER_API cuStreamGetCtx(CUstream handle, CUcontext* context) {
  return call(__func__, Needs::Context, [&] {
    CUcontext own = stream_of(handle)->context;
    *context = own ? own : current_context();
  });
}

DRIVER_API cuStreamGetCtx_v2(CUstream handle, CUcontext* context, CUgreenCtx* green) {
  return call(__func__, Needs::Context, [&] {
    *green = nullptr;
    if (CUresult code = cuStreamGetCtx(handle, context)) fail(code);
  });
}

DRIVER_API cuLaunchHostFunc(CUstream handle, CUhostFn function, void* data) {
  return call(__func__, Needs::Context, [&] {
    require(function != nullptr);
    submit(stream_of(handle), HostWork{function, data});
  });
}

DRIVER_API cuStreamAddCallback(CUstream handle, CUstreamCallback function, void* data, unsigned flags) {
  return call(__func__, Needs::Context, [&] {
    require(function && flags == 0);
    auto stream = stream_of(handle);
    refuse_while_capturing(*stream);
    enqueue(stream, {{}, [=] {
              Callback guard;
              function(handle, CUDA_SUCCESS, data);
            }});
  });
}

DRIVER_API cuStreamAttachMemAsync(CUstream handle, CUdeviceptr, size_t, unsigned) {
  return call(__func__, Needs::Context, [&] { stream_of(handle); });
}
