// Streams: in-order queues of work that runs late, and the events that mark positions in them.
#pragma once

#include "driver.h"

namespace emulated {

/// A position in a stream: reached when that many of its operations have run.
struct Mark {
  std::shared_ptr<Stream> stream;
  uint64_t position = 0;
};

struct Operation {
  std::vector<Mark> after;
  std::function<void()> run;  // may be empty: then it only waits
};

struct Stream {
  CUstream handle{};
  CUcontext context{};
  unsigned flags = 0;
  int priority = 0;
  uint64_t id = 0;
  uint64_t issued = 0;
  uint64_t completed = 0;
  uint64_t asked = 0;  // the position at which a query already answered "not ready"
  std::deque<Operation> queue;
  std::shared_ptr<Capture> capture;
  std::vector<Node*> tail;  // while capturing: what the next captured node depends on

  bool blocking() const { return !(flags & CU_STREAM_NON_BLOCKING); }
};

struct Event {
  CUevent handle{};
  unsigned flags = 0;
  bool recorded = false;
  bool asked = false;
  Mark mark;
  double stamp_ms = 0;  // when the newest finished recording ran
  std::shared_ptr<Capture> capture;  // set while the newest record was captured into a graph
  std::vector<Node*> nodes;
};

/// The stream behind a handle, the legacy and per-thread ones included.
std::shared_ptr<Stream> stream_of(CUstream handle);
std::shared_ptr<Stream> legacy_stream();

Mark enqueue(const std::shared_ptr<Stream>& stream, Operation operation);
Mark tail_of(const std::shared_ptr<Stream>& stream);
bool reached(const Mark& mark);
/// Runs everything up to the mark, whatever it depends on first.
void run_until(const Mark& mark);
void run_everything();
size_t pending_operations();

double now_ms();
/// Queues the stamp of an event; `stream` must not be capturing.
void record_event(const std::shared_ptr<Event>& event, const std::shared_ptr<Stream>& stream);

}  // namespace emulated
