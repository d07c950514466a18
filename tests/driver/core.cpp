// The driver object, what happens around every call, error names, and the functions by which tests steer the emulation.
#include <cstdio>
#include <cstdlib>

#include "driver.h"
#include "memory.h"
#include "stream.h"

namespace emulated {

namespace {

thread_local int callback_depth = 0;

std::map<std::string, CallRecord>& records() {
  static auto* all = new std::map<std::string, CallRecord>;
  return *all;
}

std::string without_version(const std::string& symbol) {
  size_t end = symbol.find_last_not_of("0123456789");
  bool versioned = end != symbol.size() - 1 && end >= 2 && symbol.compare(end - 1, 2, "_v") == 0;
  return versioned ? symbol.substr(0, end - 1) : symbol;
}

const char* environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}

Settings settings_from_environment() {
  Settings settings;
  settings.log = *environment("CUDAGRAPH_DRIVER_LOG", "") != 0;
  settings.strict = *environment("CUDAGRAPH_DRIVER_STRICT", "1") != '0';
  settings.order = environment("CUDAGRAPH_DRIVER_ORDER", "reverse");
  settings.runtime = environment("CUDAGRAPH_DRIVER_RUNTIME", "");
  settings.version = std::atoi(environment("CUDAGRAPH_DRIVER_VERSION", std::to_string(CUDA_VERSION).c_str()));
  settings.capability = std::atoi(environment("CUDAGRAPH_DRIVER_CAPABILITY", "90"));
  settings.memory = std::strtoull(environment("CUDAGRAPH_DRIVER_MEMORY", "8589934592"), nullptr, 10);
  return settings;
}

}  // namespace

uint64_t next_handle() {
  static uint64_t handle = 0x10000000;
  return handle += 16;
}

// Never destroyed: Python objects may still release handles while the process goes down.
Driver& driver() {
  static Driver* instance = [] {
    auto* made = new Driver;
    made->settings = settings_from_environment();
    return made;
  }();
  return *instance;
}

CallRecord& record_of(const char* symbol) {
  std::string name = without_version(symbol);
  CallRecord& record = records()[name];
  record.name = name;
  return record;
}

thread_local int Nesting::depth = 0;

CUresult enter(CallRecord& record, Needs needs) {
  if (Nesting::depth == 1) {
    ++record.count;
    if (driver().settings.log) std::fprintf(stderr, "[cuda] %s\n", record.name.c_str());
    if (auto found = record.failures.find(record.count); found != record.failures.end()) return found->second;
  }
  if (callback_depth > 0 && needs != Needs::Nothing) return CUDA_ERROR_NOT_PERMITTED;
  if (needs == Needs::Nothing) return CUDA_SUCCESS;
  if (!driver().initialized) return CUDA_ERROR_NOT_INITIALIZED;
  if (needs == Needs::Init) return CUDA_SUCCESS;
  if (!current_context()) return CUDA_ERROR_INVALID_CONTEXT;
  return driver().sticky;
}

void fail(CUresult code) { throw code; }

void fault(CUresult code, const std::string& message) {
  if (driver().sticky == CUDA_SUCCESS) {
    driver().sticky = code;
    driver().message = message;
    std::fprintf(stderr, "[cuda] %s\n", message.c_str());
  }
  throw code;
}

Callback::Callback() { ++callback_depth; }
Callback::~Callback() { --callback_depth; }

namespace {

struct ErrorName {
  CUresult code;
  const char* name;
  const char* text;
};

const ErrorName error_names[] = {
#include "errors.inc"
};

const ErrorName* error_name(CUresult code) {
  for (const ErrorName& entry : error_names)
    if (entry.code == code) return &entry;
  return nullptr;
}

}  // namespace
}  // namespace emulated

using namespace emulated;

DRIVER_API cuGetErrorName(CUresult error, const char** text) {
  return call(__func__, Needs::Nothing, [&] {
    const ErrorName* entry = error_name(error);
    *text = entry ? entry->name : nullptr;
    require(entry != nullptr);
  });
}

DRIVER_API cuGetErrorString(CUresult error, const char** text) {
  return call(__func__, Needs::Nothing, [&] {
    const ErrorName* entry = error_name(error);
    *text = entry ? entry->text : nullptr;
    require(entry != nullptr);
  });
}

/// Every driver function that is not emulated ends here.
extern "C" __attribute__((visibility("hidden"))) int cudagraph_driver_missing(const char* symbol) {
  ++record_of(symbol).count;
  if (driver().settings.log) std::fprintf(stderr, "[cuda] %s is not emulated\n", symbol);
  return CUDA_ERROR_NOT_SUPPORTED;
}

DRIVER_CONTROL void cudagraph_driver_fail(const char* name, uint64_t nth, int code) {
  std::lock_guard<std::recursive_mutex> lock(driver().mutex);
  CallRecord& record = record_of(name);
  record.failures[record.count + nth] = static_cast<CUresult>(code);
}

DRIVER_CONTROL uint64_t cudagraph_driver_live(const char* kind) {
  std::lock_guard<std::recursive_mutex> lock(driver().mutex);
  const std::map<std::string, size_t> counts{
      {"allocations", live_allocations(false)}, {"pinned", live_allocations(true)},
      {"bytes", live_bytes()},                  {"contexts", driver().contexts.size()},
      {"events", driver().events.size()},       {"execs", driver().execs.size()},
      {"graphs", driver().graphs.size()},       {"libraries", driver().libraries.size()},
      {"modules", driver().modules.size()},     {"pools", user_pools()},
      {"streams", driver().streams.size()},     {"user_objects", driver().user_objects.size()},
      {"pending", pending_operations()},
  };
  auto found = counts.find(kind);
  return found == counts.end() ? UINT64_MAX : found->second;
}

/// Lines of "name count", valid until the next call.
DRIVER_CONTROL const char* cudagraph_driver_calls() {
  static auto* text = new std::string;
  std::lock_guard<std::recursive_mutex> lock(driver().mutex);
  text->clear();
  for (const auto& [name, record] : records())
    if (record.count) *text += name + " " + std::to_string(record.count) + "\n";
  return text->c_str();
}

/// Forgets counts, injected faults and the sticky error; objects stay as they are.
DRIVER_CONTROL void cudagraph_driver_reset() {
  std::lock_guard<std::recursive_mutex> lock(driver().mutex);
  for (auto& [name, record] : records()) {
    record.count = 0;
    record.failures.clear();
  }
  driver().sticky = CUDA_SUCCESS;
  driver().message.clear();
}

DRIVER_CONTROL int cudagraph_driver_set(const char* name, const char* value) {
  std::lock_guard<std::recursive_mutex> lock(driver().mutex);
  Settings& settings = driver().settings;
  const std::map<std::string, std::function<void()>> setters{
      {"strict", [&] { settings.strict = *value != '0'; }},
      {"log", [&] { settings.log = *value != '0'; }},
      {"order", [&] { settings.order = value; }},
      {"runtime", [&] { settings.runtime = value; }},
      {"depth", [&] { settings.depth = std::strtoull(value, nullptr, 10); }},
      {"memory", [&] { settings.memory = std::strtoull(value, nullptr, 10); }},
      {"version", [&] { settings.version = std::atoi(value); }},
      {"capability", [&] { settings.capability = std::atoi(value); }},
  };
  auto found = setters.find(name);
  if (found == setters.end()) return 0;
  found->second();
  return 1;
}

/// What the sticky error was about; empty when there is none.
DRIVER_CONTROL const char* cudagraph_driver_message() { return driver().message.c_str(); }
