// The threads that help with a launch. They spin for some microseconds between launches of a frame, then sleep.
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "runtime.h"

namespace {

struct Pool {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
  pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
  Job* job = nullptr;         // open for helpers
  cg_u32 limit = 0;           // helpers that may join it
  cg_u32 joined = 0;
  cg_u64 generation = 0;      // counts jobs; atomic
  cg_i32 active = 0;          // helpers at work; atomic
  cg_u32 sleepers = 0;
  cg_u32 threads = 0;
};

// A forked child has none of its parent's threads and gets a new pool; the old one is not touched any more.
Pool* pool;
pthread_mutex_t launching = PTHREAD_MUTEX_INITIALIZER;
pthread_once_t once = PTHREAD_ONCE_INIT;
alignas(Pool) char pool_memory[sizeof(Pool)];
cg_u32 requested_workers;

constexpr int SPINS = 2000;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("yield");
#endif
}

void renew() {
  const Pool fresh;
  __builtin_memcpy(pool_memory, &fresh, sizeof(Pool));
  pool = reinterpret_cast<Pool*>(pool_memory);
  const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
  launching = unlocked;
}

void start() {
  renew();
  pthread_atfork(nullptr, nullptr, renew);
}

void wait_for_job(Pool& p, cg_u64 seen) {
  for (int i = 0; i < SPINS; i++) {
    if (__atomic_load_n(&p.generation, __ATOMIC_ACQUIRE) != seen) return;
    relax();
  }
}

void* help(void* argument) {
  Pool& p = *static_cast<Pool*>(argument);
  cg_u64 seen = 0;
  for (;;) {
    wait_for_job(p, seen);
    pthread_mutex_lock(&p.mutex);
    p.sleepers++;
    while (p.generation == seen) pthread_cond_wait(&p.wake, &p.mutex);
    p.sleepers--;
    seen = p.generation;
    Job* job = p.job && p.joined < p.limit ? p.job : nullptr;
    if (job) p.joined++, __atomic_fetch_add(&p.active, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&p.mutex);
    if (!job) continue;
    work_on(*job);
    pthread_mutex_lock(&p.mutex);
    if (__atomic_sub_fetch(&p.active, 1, __ATOMIC_RELEASE) == 0) pthread_cond_signal(&p.idle);
    pthread_mutex_unlock(&p.mutex);
  }
  return nullptr;
}

// Signals belong to the application's threads.
void add_threads(Pool& p, cg_u32 wanted) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 8 << 20);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  while (p.threads < wanted && pthread_create(&thread, &attributes, help, &p) == 0) p.threads++;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void open_job(Pool& p, Job& job, cg_u32 helpers) {
  pthread_mutex_lock(&p.mutex);
  p.job = &job;
  p.limit = helpers;
  p.joined = 0;
  __atomic_store_n(&p.generation, p.generation + 1, __ATOMIC_RELEASE);
  if (p.sleepers) pthread_cond_broadcast(&p.wake);
  pthread_mutex_unlock(&p.mutex);
}

void close_job(Pool& p) {
  pthread_mutex_lock(&p.mutex);
  p.job = nullptr;
  pthread_mutex_unlock(&p.mutex);
  for (int i = 0; i < SPINS && __atomic_load_n(&p.active, __ATOMIC_ACQUIRE); i++) relax();
  pthread_mutex_lock(&p.mutex);
  while (__atomic_load_n(&p.active, __ATOMIC_ACQUIRE)) pthread_cond_wait(&p.idle, &p.mutex);
  pthread_mutex_unlock(&p.mutex);
}

cg_u32 count_cores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<cg_u32>(CPU_COUNT(&set));
#endif
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<cg_u32>(online) : 1;
}

}  // namespace

bool share(Job& job, cg_u32 workers) {
  pthread_once(&once, start);
  if (pthread_mutex_trylock(&launching) != 0) return false;
  add_threads(*pool, workers - 1);
  open_job(*pool, job, workers - 1);
  work_on(job);
  close_job(*pool);
  pthread_mutex_unlock(&launching);
  return true;
}

void cg_set_workers(cg_u32 workers) { __atomic_store_n(&requested_workers, workers, __ATOMIC_RELAXED); }

cg_u32 cg_get_workers() {
  cg_u32 requested = __atomic_load_n(&requested_workers, __ATOMIC_RELAXED);
  static const cg_u32 cores = count_cores();
  return requested ? requested : cores;
}
