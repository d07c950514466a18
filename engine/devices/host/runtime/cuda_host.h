// CUDA C++ for a host compiler: everything that a kernel may use without an #include, and the toolkit's small headers.
//
// Put in front of a kernel's source. No system header is included on the way, neither C++'s nor C's: a kernel sees
// CUDA's names and nothing else, compiles in a fraction of a second, and needs no C++ library to be installed.
#pragma once

#include "abi.h"
#include "qualifiers.h"
#include "types.h"
#include "builtins.h"
#include "integer.h"
#include "transcendental.h"
#include "arithmetic.h"
#include "memory.h"
#include "atomics.h"
#include "worker.h"
#include "switch.h"
#include "fibers.h"
#include "collectives.h"
#include "half.h"
#include "bfloat16.h"
#include "groups.h"
#include "launch.h"
#include "checks.h"
