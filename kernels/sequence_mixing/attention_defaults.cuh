// The attention kernels' macros where nobody gives them: plain heads of 64. Blocks always do.
#pragma once

#ifndef HEAD
#define HEAD 64
#endif
#ifndef VALUE
#define VALUE HEAD
#define THREADS 128
#define ROWS 64
#define TILE_KEYS 32
#define WIDE_ROWS 32
#define QUERIES 1
#define GROUP 1
#define QUERY_HEADS 1
#define KEY_HEADS 1
#define ROTARY 0
#define INTERLEAVED 0
#define NORM 0
#define Angle float
#define Weight T
#define CAUSAL 0
#define WINDOW 0
#define OFFSET 0
#define PREFIX 0
#define MASK 0
#define KEY_MASK 0
#define ALIBI 0
#define SOFTCAP 0
#define CAP 1.0
#define MaskElement T
#define KeyMask T
#define Slope T
#define Place T
#define Extent T
#define Part float
#endif
