// The emulated CUDA driver: shared types. One process holds one driver, as with the real one.
//
// Work is queued per stream and runs late: only when somebody waits for it, asks twice whether it is done, or the queue
// is full. So a result that is read too early is still poison, and a staging buffer that is reused too early is lost.
#pragma once

#define __CUDA_API_VERSION_INTERNAL  // every function keeps its exact symbol name: cuMemAlloc_v2, not cuMemAlloc
#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#define DRIVER_API extern "C" __attribute__((visibility("default"))) CUresult
#define DRIVER_CONTROL extern "C" __attribute__((visibility("default")))

namespace emulated {

struct Capture;
struct Event;
struct Exec;
struct Function;
struct Graph;
struct Module;
struct Node;
struct Pool;
struct Stream;
struct UserObject;

// Objects and their handles.

struct Context {
  CUcontext handle{};
  bool primary = false;
  int references = 1;
  unsigned flags = 0;
  std::map<int, size_t> limits;
};

template <class Handle> struct Kind;
template <> struct Kind<CUcontext> { using Type = Context; };
template <> struct Kind<CUstream> { using Type = Stream; };
template <> struct Kind<CUevent> { using Type = Event; };
template <> struct Kind<CUmodule> { using Type = Module; };
template <> struct Kind<CUlibrary> { using Type = Module; };
template <> struct Kind<CUfunction> { using Type = Function; };
template <> struct Kind<CUkernel> { using Type = Function; };
template <> struct Kind<CUgraph> { using Type = Graph; };
template <> struct Kind<CUgraphNode> { using Type = Node; };
template <> struct Kind<CUgraphExec> { using Type = Exec; };
template <> struct Kind<CUuserObject> { using Type = UserObject; };
template <> struct Kind<CUmemoryPool> { using Type = Pool; };

/// A number no live or dead object ever had, so that a stale handle or one of another kind is always noticed.
uint64_t next_handle();

template <class Handle> class Table {
 public:
  using Object = typename Kind<Handle>::Type;

  Handle add(std::shared_ptr<Object> object) {
    auto handle = reinterpret_cast<Handle>(next_handle());
    objects_.emplace(handle, std::move(object));
    return handle;
  }
  std::shared_ptr<Object> find(Handle handle) const {
    auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second;
  }
  bool remove(Handle handle) { return objects_.erase(handle) != 0; }
  size_t size() const { return objects_.size(); }
  auto begin() const { return objects_.begin(); }
  auto end() const { return objects_.end(); }

 private:
  std::unordered_map<Handle, std::shared_ptr<Object>> objects_;
};

struct Settings {
  int version = CUDA_VERSION;
  int capability = 90;
  size_t memory = size_t{8} << 30;
  size_t depth = 1024;  // operations a stream holds before the oldest half runs
  bool strict = true;
  bool log = false;
  std::string order = "reverse";  // which of several ready graph nodes runs first: forward, reverse or random:SEED
  std::string runtime;            // path of the host device's runtime library
};

struct Driver {
  std::recursive_mutex mutex;
  Settings settings;
  bool initialized = false;
  CUresult sticky = CUDA_SUCCESS;  // an error of executed work: every later call reports it, as the real driver does
  std::string message;             // what the sticky error was, for people

  Table<CUcontext> contexts;
  Table<CUstream> streams;
  Table<CUevent> events;
  Table<CUmodule> modules;
  Table<CUlibrary> libraries;
  Table<CUfunction> functions;
  Table<CUkernel> kernels;
  Table<CUgraph> graphs;
  Table<CUgraphNode> nodes;
  Table<CUgraphExec> execs;
  Table<CUuserObject> user_objects;
  Table<CUmemoryPool> pools;
  std::vector<std::weak_ptr<Stream>> retired;  // destroyed with work still queued
  std::vector<std::weak_ptr<Capture>> captures;
};

Driver& driver();

template <class Handle> auto& table();
template <> inline auto& table<CUcontext>() { return driver().contexts; }
template <> inline auto& table<CUstream>() { return driver().streams; }
template <> inline auto& table<CUevent>() { return driver().events; }
template <> inline auto& table<CUmodule>() { return driver().modules; }
template <> inline auto& table<CUlibrary>() { return driver().libraries; }
template <> inline auto& table<CUfunction>() { return driver().functions; }
template <> inline auto& table<CUkernel>() { return driver().kernels; }
template <> inline auto& table<CUgraph>() { return driver().graphs; }
template <> inline auto& table<CUgraphNode>() { return driver().nodes; }
template <> inline auto& table<CUgraphExec>() { return driver().execs; }
template <> inline auto& table<CUuserObject>() { return driver().user_objects; }
template <> inline auto& table<CUmemoryPool>() { return driver().pools; }

// Calls.

/// What must hold before a function does anything. `Context` also reports a sticky error.
enum class Needs { Nothing, Init, Context };

struct CallRecord {
  std::string name;  // without the version suffix
  uint64_t count = 0;
  std::map<uint64_t, CUresult> failures;  // by call number
};

CallRecord& record_of(const char* symbol);
CUresult enter(CallRecord& record, Needs needs);

/// Functions that are made of others count as one call.
struct Nesting {
  static thread_local int depth;
  Nesting() { ++depth; }
  ~Nesting() { --depth; }
};

/// Throws `code` out of the running API call.
[[noreturn]] void fail(CUresult code);
inline void require(bool condition, CUresult code = CUDA_ERROR_INVALID_VALUE) {
  if (!condition) fail(code);
}

/// The object behind a handle; a dead or foreign handle fails the call.
template <class Handle> auto live(Handle handle, CUresult code = CUDA_ERROR_INVALID_VALUE) {
  auto object = table<Handle>().find(handle);
  require(object != nullptr, code);
  return object;
}

/// The body of every API function: counts, injects faults, checks preconditions, holds the lock.
template <class Body> CUresult call(const char* symbol, Needs needs, Body&& body) {
  static CallRecord& record = record_of(symbol);
  std::lock_guard<std::recursive_mutex> lock(driver().mutex);
  Nesting nesting;
  if (CUresult refused = enter(record, needs); refused != CUDA_SUCCESS) return refused;
  try {
    body();
  } catch (CUresult code) {
    return code;
  }
  return CUDA_SUCCESS;
}

/// Runs the user's code, which may not call the driver back.
class Callback {
 public:
  Callback();
  ~Callback();
};

/// Makes `code` sticky with a message, and throws it.
[[noreturn]] void fault(CUresult code, const std::string& message);

CUcontext current_context();

}  // namespace emulated
