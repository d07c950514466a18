#include "capture.h"
#include "stream.h"
#include "work.h"

namespace emulated {

void record_event(const std::shared_ptr<Event>& event, const std::shared_ptr<Stream>& stream) {
  event->capture = nullptr;
  event->nodes.clear();
  event->recorded = true;
  event->asked = false;
  event->mark = enqueue(stream, {{}, [event] { event->stamp_ms = now_ms(); }});
}

namespace {

constexpr unsigned known_flags = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;

std::shared_ptr<Event> event_of(CUevent handle) { return live(handle, CUDA_ERROR_INVALID_HANDLE); }

/// An event whose newest record lies in a capture says nothing about work that ran.
std::shared_ptr<Event> waitable(CUevent handle) {
  auto event = event_of(handle);
  if (event->capture && event->capture->active) {
    invalidate(*event->capture);
    fail(CUDA_ERROR_CAPTURED_EVENT);
  }
  return event;
}

void record(CUevent handle, CUstream where, unsigned flags) {
  auto event = event_of(handle);
  auto stream = stream_of(where);
  bool external = flags & CU_EVENT_RECORD_EXTERNAL;
  require(flags <= CU_EVENT_RECORD_EXTERNAL);
  require(!external || stream->capture);
  if (external)
    submit(stream, EventRecordWork{event});
  else if (check_capture(stream))
    capture_record(*event, *stream);
  else
    record_event(event, stream);
}

}  // namespace
}  // namespace emulated

using namespace emulated;

DRIVER_API cuEventCreate(CUevent* out, unsigned flags) {
  return call(__func__, Needs::Context, [&] {
    require(out && !(flags & ~known_flags));
    require(!(flags & CU_EVENT_INTERPROCESS) || (flags & CU_EVENT_DISABLE_TIMING));
    auto event = std::make_shared<Event>();
    event->flags = flags;
    event->handle = *out = driver().events.add(event);
  });
}

DRIVER_API cuEventDestroy_v2(CUevent handle) {
  return call(__func__, Needs::Context, [&] { require(driver().events.remove(handle), CUDA_ERROR_INVALID_HANDLE); });
}

DRIVER_API cuEventRecord(CUevent event, CUstream stream) {
  return call(__func__, Needs::Context, [&] { record(event, stream, 0); });
}

DRIVER_API cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags) {
  return call(__func__, Needs::Context, [&] { record(event, stream, flags); });
}

DRIVER_API cuEventQuery(CUevent handle) {
  return call(__func__, Needs::Context, [&] {
    refuse_unsafe_call();
    auto event = waitable(handle);
    if (reached(event->mark)) return;
    bool again = std::exchange(event->asked, true);
    require(again, CUDA_ERROR_NOT_READY);
    run_until(event->mark);
    if (driver().sticky) fail(driver().sticky);
  });
}

DRIVER_API cuEventSynchronize(CUevent handle) {
  return call(__func__, Needs::Context, [&] {
    refuse_unsafe_call();
    run_until(waitable(handle)->mark);
    if (driver().sticky) fail(driver().sticky);
  });
}

DRIVER_API cuStreamWaitEvent(CUstream where, CUevent handle, unsigned flags) {
  return call(__func__, Needs::Context, [&] {
    auto stream = stream_of(where);
    auto event = event_of(handle);
    require(flags <= CU_EVENT_WAIT_EXTERNAL);
    if (flags & CU_EVENT_WAIT_EXTERNAL) {
      require(stream->capture != nullptr);
      submit(stream, EventWaitWork{event});
    } else if (event->capture && event->capture->active) {
      capture_wait(stream, *event);
    } else if (check_capture(stream)) {
      invalidate(*stream->capture);  // a captured stream cannot wait for work outside the capture
      fail(CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    } else {
      enqueue(stream, {{event->mark}, nullptr});
    }
  });
}

DRIVER_API cuEventElapsedTime(float* milliseconds, CUevent first, CUevent last) {
  return call(__func__, Needs::Context, [&] {
    auto from = event_of(first), to = event_of(last);
    for (const auto& event : {from, to}) {
      require(event->recorded && !(event->flags & CU_EVENT_DISABLE_TIMING), CUDA_ERROR_INVALID_HANDLE);
      require(!event->capture, CUDA_ERROR_INVALID_HANDLE);
      require(reached(event->mark), CUDA_ERROR_NOT_READY);
    }
    *milliseconds = static_cast<float>(to->stamp_ms - from->stamp_ms);
  });
}

DRIVER_API cuEventElapsedTime_v2(float* milliseconds, CUevent first, CUevent last) {
  return call(__func__, Needs::Context, [&] {
    if (CUresult code = cuEventElapsedTime(milliseconds, first, last)) fail(code);
  });
}
