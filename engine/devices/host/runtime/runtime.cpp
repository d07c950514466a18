// The runtime library in one compilation.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "launches.cpp"
#include "modules.cpp"
#include "pool.cpp"
#include "sanitizer.cpp"
#include "workers.cpp"
