// Switching from one fiber to another: save what the compiler cannot be told to save, swap stack pointers, jump.
//
// All other registers are declared clobbered, so the compiler saves just those that are alive. x86-64 needs
// -mno-red-zone: the pushes would destroy what a leaf function keeps below its stack pointer.
#pragma once

#if defined(__x86_64__)

enum { CG_FRESH_BYTES = 16 };

// rbp and rbx may be the frame's base, which no compiler lets one clobber.
CG_INLINE void cg_switch(void** from, void* to) {
  __asm__ volatile(
      "pushq %%rbp\n\t"
      "pushq %%rbx\n\t"
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "movq %%rsp, (%0)\n\t"
      "movq %1, %%rsp\n\t"
      "popq %%rax\n\t"
      "jmpq *%%rax\n"
      "1:\tpopq %%rbx\n\t"
      "popq %%rbp\n\t"
      : "+D"(from), "+S"(to)
      :
      : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc",
        "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "xmm15"
#ifdef __AVX512F__
        , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",
        "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#endif
  );
}

// A stack that cg_switch enters `entry` with, aligned as if it had been called.
CG_INLINE void* cg_fresh(char* top, void (*entry)()) {
  void** stack = (void**)(top - CG_FRESH_BYTES);
  stack[0] = (void*)entry;
  stack[1] = 0;
  return stack;
}

#elif defined(__aarch64__)

enum { CG_FRESH_BYTES = 32 };

#ifdef __APPLE__
#define CG_PLATFORM_REGISTER
#else
#define CG_PLATFORM_REGISTER "x18",
#endif

// x29 and x19 may be the frame's base; x30 holds the return address.
CG_INLINE void cg_switch(void** from, void* to) {
  register void* source __asm__("x0") = from;
  register void* target __asm__("x1") = to;
  __asm__ volatile(
      "stp x29, x30, [sp, #-32]!\n\t"
      "str x19, [sp, #24]\n\t"
      "adr x9, 1f\n\t"
      "str x9, [sp, #16]\n\t"
      "mov x10, sp\n\t"
      "str x10, [x0]\n\t"
      "mov sp, x1\n\t"
      "ldr x9, [sp, #16]\n\t"
      "br x9\n"
      "1:\tldr x19, [sp, #24]\n\t"
      "ldp x29, x30, [sp], #32\n\t"
      : "+r"(source), "+r"(target)
      :
      : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
        CG_PLATFORM_REGISTER "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "memory", "cc", "v0", "v1",
        "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18",
        "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}

CG_INLINE void* cg_fresh(char* top, void (*entry)()) {
  void** stack = (void**)(top - CG_FRESH_BYTES);
  stack[0] = stack[1] = stack[3] = 0;
  stack[2] = (void*)entry;
  return stack;
}

#else
#error "the host device runs on x86-64 and aarch64"
#endif
