"""The signature is read from real-world spellings of kernels, and refused with the reason where it cannot be bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudagraph.errors import DescriptionError
from cudagraph.signature import ArgumentKind, KernelArgument, parse_argument, parse_signature

IN, OUT, VALUE = ArgumentKind.INPUT, ArgumentKind.OUTPUT, ArgumentKind.VALUE

CROWDED = r"""
#include <cuda_fp16.h>
// extern "C" __global__ void in_a_comment(float* x) {}
/* extern "C" __global__ void in_another(float* x) {} */
const char* text = "extern \"C\" __global__ void in_a_string(float* x) {}";
const char* raw = R"cu(" extern "C" __global__ void in_a_raw_string(float* x) {} )cu";
#define DEFINE(T) extern "C" __global__ void from_a_macro_##T(T* x) \
    { x[0] = 0; }
template <typename T, int N = 3> __global__ void templated(const T* x) {}
template <typename T> struct Vec { T a; __device__ T get() { return a; } };
__device__ float clamp(float a) { if (a > 1) { return 1; } return '{' ? a : 0; }
namespace ns { struct P { int x; }; __global__ void mangled(int* x) {} }
__constant__ int table[] = {1, 2, 3};
extern "C" __global__ void vector_add(const float* a);
extern "C" __global__ __launch_bounds__(256, 2) void
vector_add(const float* const __restrict__ a, // a comment, with a comma
           float* c, const ns::P* p, Vec<float, 3> v, T gain, unsigned long long n)
{
    for (int i = 0; i < 3; i++) { c[i] = a[i]; }
}
"""


def test_reads_the_one_entry_among_everything_else():
    signature = parse_signature(CROWDED)
    assert (signature.entry, signature.line, signature.max_threads) == ("vector_add", 16, 256)
    assert signature.arguments == (
        KernelArgument("a", IN, "float"),
        KernelArgument("c", OUT, "float"),
        KernelArgument("p", IN, "ns::P"),
        KernelArgument("v", VALUE, "Vec<float, 3>"),
        KernelArgument("gain", VALUE, "T"),
        KernelArgument("n", VALUE, "unsigned long long"),
    )
    assert str(signature.arguments[0]) == "const float* a"


@pytest.mark.parametrize(
    ("text", "kind", "ctype"),
    [
        ("const float* const __restrict__ x", IN, "float"),
        ("float const *x", IN, "float"),
        ("float *x", OUT, "float"),
        ("float* const x", OUT, "float"),
        ("float x[]", OUT, "float"),
        ("const float x[16]", IN, "float"),
        ("const __half2* x", IN, "__half2"),
        ("volatile int* x", OUT, "int"),
        ("const void* x", IN, "void"),
        ("const float* RESTRICT x", IN, "float"),
        ("long unsigned int x", VALUE, "unsigned long"),
        ("unsigned x", VALUE, "unsigned int"),
        ("unsigned long long int* x", OUT, "unsigned long long"),
        ("short int x", VALUE, "short"),
        ("signed char x", VALUE, "signed char"),
        ("std::int32_t x", VALUE, "int32_t"),
        ("struct Particle x", VALUE, "Particle"),
        ("const sim::Particle* x", IN, "sim::Particle"),
        ("Vec<const float>* x", OUT, "Vec<const float>"),
        ("[[maybe_unused]] const T* x", IN, "T"),
        ("alignas(8) double x", VALUE, "double"),
        ("__grid_constant__ const Params x", VALUE, "Params"),
        ("int x = 3", VALUE, "int"),
    ],
)
def test_argument_spellings(text, kind, ctype):
    assert parse_argument(text) == KernelArgument("x", kind, ctype)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("float& x", "is a reference"),
        ("float** x", "pointer to pointers"),
        ("float x[][4]", "pointer to pointers"),
        ("float (*f)(int)", "function or a macro"),
        ("...", "variadic"),
        ("float*", "has no name"),
        ("unsigned int", "has no name"),
        ("Particle", "has no name"),
        ("const", "has no name"),
        ("", "is empty"),
    ],
)
def test_arguments_that_cannot_be_bound_say_why(text, complaint):
    with pytest.raises(DescriptionError, match=complaint):
        parse_signature(f'extern "C" __global__ void k(int n, {text}, int m) {{}}')


def test_no_arguments():
    assert parse_signature('extern "C" __global__ void k() {}').arguments == ()
    assert parse_signature('extern "C" __global__ void k(void) {}').arguments == ()


def test_linkage_block_and_namespace():
    text = 'namespace n { extern "C" { static int a; __device__ int f() { return 1; } __global__ void k(int* x) {} } }'
    assert parse_signature(text).arguments == (KernelArgument("x", OUT, "int"),)


def test_linkage_ends_with_its_block():
    text = 'extern "C" { __device__ void f() {} }\n__global__ void k(int* x) {}'
    with pytest.raises(DescriptionError, match=r'line 2 has k, which must .* begin with extern "C"'):
        parse_signature(text)


def test_launch_bounds():
    text = 'extern "C" __global__ void {} k(int* x) {{}}'
    assert parse_signature(text.format("__launch_bounds__(1024u)")).max_threads == 1024
    assert parse_signature(text.format("__launch_bounds__(THREADS)")).max_threads is None
    assert parse_signature(text.format("__launch_bounds__(16 * 16)")).max_threads is None
    assert parse_signature(text.format("__attribute__((noinline)) __cluster_dims__(2)")).entry == "k"


def test_branches_of_the_preprocessor():
    text = """
    #if FAST
    __device__ float f(float x) {
    #else
    __device__ float f(float x, int unused) {
    #endif
        return x;
    }
    #ifdef FAST
    extern "C" __global__ void k(float* x) { x[0] = f(1); }
    #else
    extern "C" __global__ void k(float* x) { x[0] = f(1, 2); }
    #endif
    """
    assert parse_signature(text).arguments == (KernelArgument("x", OUT, "float"),)


def test_branches_with_different_arguments_are_refused():
    text = '#if A\nextern "C" __global__ void k(float* x) {}\n#else\nextern "C" __global__ void k(int* x) {}\n#endif'
    with pytest.raises(DescriptionError, match="different arguments in lines 2 and 4"):
        parse_signature(text)
    inside = 'extern "C" __global__ void k(\n#if A\nfloat* x\n#else\nint* x\n#endif\n) {}'
    with pytest.raises(DescriptionError, match="#if inside its argument list"):
        parse_signature(inside)


TWO = 'extern "C" __global__ void first(float* x) {}\nextern "C" __global__ void second(int* y) {}'


def test_several_entries_need_a_choice():
    assert parse_signature(TWO, entry="second").argument("y").ctype == "int"
    with pytest.raises(DescriptionError, match="2 kernels: first, second; keep one to a file, or say which"):
        parse_signature(TWO, origin="two.cu")
    with pytest.raises(DescriptionError, match=r"two\.cu has no kernel 'third'; it has first, second"):
        parse_signature(TWO, entry="third", origin="two.cu")


def test_no_entry_says_what_to_write():
    with pytest.raises(DescriptionError, match=r'write one as: extern "C" __global__ void name\('):
        parse_signature("__device__ int f() { return 1; }")


def test_duplicate_names():
    with pytest.raises(DescriptionError, match="two arguments called x"):
        parse_signature('extern "C" __global__ void k(int x, float x) {}')


def test_unknown_argument_names_the_nearest():
    signature = parse_signature('extern "C" __global__ void k(const float* input, float* output) {}')
    with pytest.raises(DescriptionError, match="arguments are input, output; did you mean 'output'"):
        signature.argument("outptu")


def test_line_directives_count():
    assert parse_signature('int a;\n#line 40 "k.cu"\n\nextern "C" __global__ void k(int* x) {}').line == 41


@given(st.text(alphabet=st.sampled_from("extern\"C_global{}()[]<>,;*&#/\\'\n kxR=:.0"), max_size=80))
def test_any_text_gives_a_signature_or_a_description_error(noise):
    for text in (noise, f'extern "C" __global__ void k({noise}) {{}}', f"{noise}{TWO}"):
        try:
            parse_signature(text)
        except DescriptionError:
            continue


def test_comments_and_strings_around_directives_hide_nothing():
    text = (
        '#define OPEN "/*"\n#define QUOTE \'"\'\n#error don\'t\n/* a */ int x; /* b */ # /* " */ \n'
        '#define LONG a \\\n  b "//" /* over\n lines */ // and "this\n'
        'extern "C" __global__ void k(float* x /* "*/, int n // )\n) {}\n/* unterminated'
    )
    signature = parse_signature(text)
    assert (signature.names(), signature.line) == ("x, n", 8)


def test_code_between_comments_is_no_directive():
    text = '\n/* a */ extern "C" __global__ void k(int* x) {} /* b */ # /* c */\n'
    assert parse_signature(text).entry == "k"
