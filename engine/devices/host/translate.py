"""CUDA C++ as a host C++ compiler takes it: little is rewritten, and every line stays where it was."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cudagraph.lexer import Token, TokenKind, code_tokens
from cudagraph.program import Program

from ..define import definitions
from .barriers import reach

# Headers whose contents the host device's own header already gives.
_KNOWN_HEADERS = frozenset(
    "assert.h cassert cfloat climits cmath cooperative_groups.h cooperative_groups/reduce.h cstddef cstdint cstdio "
    "cstdlib cstring cuda.h cuda_bf16.h cuda_device_runtime_api.h cuda_fp16.h cuda_runtime.h cuda_runtime_api.h "
    "device_atomic_functions.h device_functions.h device_launch_parameters.h float.h inttypes.h limits.h math.h "
    "math_constants.h stddef.h stdint.h stdio.h stdlib.h string.h vector_functions.h vector_types.h".split()
)

UNSUPPORTED = {
    "inline_ptx": "inline PTX assembly",
    "tensor_cores": "tensor-core instructions (wmma, mma.h, wgmma)",
    "grid_sync": "synchronisation of the whole grid or of a cluster",
    "textures": "textures and surfaces",
    "dynamic_parallelism": "launching kernels from kernels (<<<...>>>)",
    "async_copies": "asynchronous copies and barriers (cuda::barrier, cuda::pipeline, TMA)",
    "libraries": "device libraries (CUB, Thrust, cuRAND, CUTLASS, libcu++)",
}
"""What a CPU cannot run: the end of a marker's name, and what to call it."""

_UNSUPPORTED_NAMES = {
    **dict.fromkeys(("nvcuda", "wmma", "wgmma"), "tensor_cores"),
    **dict.fromkeys(("this_grid", "grid_group", "this_multi_grid", "this_cluster", "cluster_group"), "grid_sync"),
    **dict.fromkeys(("cudaTextureObject_t", "cudaSurfaceObject_t"), "textures"),
    **dict.fromkeys(("cudaLaunchDevice", "cudaGetParameterBuffer", "cudaDeviceSynchronize"), "dynamic_parallelism"),
    **dict.fromkeys(("memcpy_async", "__pipeline_memcpy_async", "__pipeline_commit", "CUtensorMap"), "async_copies"),
    **dict.fromkeys(("cub", "thrust", "cutlass", "curandState", "curandState_t"), "libraries"),
}
_UNSUPPORTED_HEADERS = (
    (r"mma\.h|crt/mma.*", "tensor_cores"),
    (r"cuda/(barrier|pipeline|ptx)|cuda_pipeline.*|cooperative_groups/memcpy_async\.h", "async_copies"),
    (r"(texture|surface)_\w+\.h", "textures"),
    (r"(cub|thrust|cutlass|cute|cuda|nv)/.*|curand\w*\.h|nccl.*", "libraries"),
)


@dataclass(frozen=True, slots=True)
class Translation:
    """C++ source for a host compiler.

    `fibers`: whether the kernel's threads have to be able to wait for each other; `recursion`: whether, with fibers,
    the depth of calls has to be watched.
    """

    text: str
    fibers: bool
    recursion: bool


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    text: str


def translate(program: Program, *, sanitize: bool = False) -> Translation:
    """The translation unit of a kernel module: prelude, macros, the user's text, tables."""
    text = program.text if isinstance(program.text, str) else program.text.decode()
    tokens = list(code_tokens(text))
    found = reach(tokens, program.entry)
    fibers, recursion = found.barrier, found.barrier and found.recursion
    body = _apply(text, [*_includes(tokens), *_dynamic_shared(tokens), *_unsupported(tokens)])
    variables = "".join(f"CG_VARIABLE_ENTRY({name}), " for name in _variables(tokens))
    return Translation(
        f"#define CG_FIBERS {int(fibers)}\n#define CG_RECURSIVE {int(recursion)}\n#define CG_SANITIZE {int(sanitize)}\n"
        '#include "cuda_host.h"\n'
        f'#line 1 "{MACROS}"\n{definitions(program.define, text)}'
        f'#line 1 "{_quoted(program.origin)}"\n{body}\n'
        f'#line 1 "{PROLOGUE}"\n'
        f"static const cg_kernel cg_kernels[] = {{CG_KERNEL_ENTRY({program.entry})}};\n"
        f"static const cg_variable cg_variables[] = {{{variables}{{0, 0, 0}}}};\nCG_MODULE()\n",
        fibers,
        recursion,
    )


PROLOGUE = "cudagraph-generated"
"""The file name that the compiler knows our own lines by."""

MACROS = "macros"
"""The file name for `Program.define`."""


def _quoted(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _apply(text: str, edits: Sequence[_Edit]) -> str:
    """The text with its edits; a replacement keeps the number of lines."""
    pieces, position = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        lines = text.count("\n", edit.start, edit.end) - edit.text.count("\n")
        pieces += (text[position : edit.start], edit.text, "\n" * lines)
        position = edit.end
    return "".join([*pieces, text[position:]])


def _includes(tokens: Sequence[Token]) -> Iterator[_Edit]:
    for token in tokens:
        match = re.match(r"#\s*include\s*<([^>]+)>", token.text) if token.kind is TokenKind.DIRECTIVE else None
        if match is None:
            continue
        start, end = token.start, token.start + len(token.text)
        if match[1] in _KNOWN_HEADERS:
            yield _Edit(start, end, "")
        for pattern, feature in _UNSUPPORTED_HEADERS:
            if re.fullmatch(pattern, match[1]):
                yield _Edit(start, end, f"#error cg_unsupported_{feature}")
                break


def _dynamic_shared(tokens: Sequence[Token]) -> Iterator[_Edit]:
    """`extern __shared__ T name[];` becomes a pointer: a local one in a function, one per worker outside of it."""
    depth = 0
    for index, token in enumerate(tokens):
        if token.text == "{" and not _opens_namespace(tokens, index):
            depth += 1
        elif token.text == "}":
            depth = max(depth - 1, 0)
        elif token.text == "extern" and (declaration := _declaration(tokens, index)):
            last = declaration[-1]
            words = _without_attributes(declaration[1:])
            bracket = words.index("[") if "[" in words else len(words) - 1
            ctype, name = " ".join(words[: bracket - 1]), words[bracket - 1]
            storage = "" if depth else "static thread_local "
            yield _Edit(token.start, last.start + 1, f"{storage}{ctype}* {name} = cg_dynamic_shared<{ctype}>();")


def _declaration(tokens: Sequence[Token], start: int) -> list[Token] | None:
    """The tokens of a declaration up to its ";", if it is one of dynamic shared memory."""
    found = []
    for token in tokens[start:]:
        found.append(token)
        if token.text == ";":
            return found if any(part.text == "__shared__" for part in found) else None
        if token.text in ("{", "}"):
            return None
    return None


def _without_attributes(tokens: Sequence[Token]) -> list[str]:
    words: list[str] = []
    depth, pending = 0, False
    for token in tokens:
        if pending or depth:
            depth += (token.text == "(") - (token.text == ")")
            pending = False
        elif token.text in ("__align__", "alignas", "__attribute__", "__builtin_align__"):
            pending = True
        elif token.text not in ("__shared__", "volatile"):
            words.append(token.text)
    return words


def _opens_namespace(tokens: Sequence[Token], brace: int) -> bool:
    """Whether a "{" belongs to `extern "C"` or to a namespace."""
    before = [token.text for token in tokens[max(brace - 8, 0) : brace]]
    if before[-2:] == ["extern", '"C"']:
        return True
    while before and (before[-1].isidentifier() or before[-1] == "::") and before[-1] != "namespace":
        before.pop()
    return bool(before) and before[-1] == "namespace"


def _unsupported(tokens: Sequence[Token]) -> Iterator[_Edit]:
    """Renames what a CPU cannot run to names that no compiler knows: only code that is really compiled is an error."""
    for index, token in enumerate(tokens):
        feature = _UNSUPPORTED_NAMES.get(token.text) if token.kind is TokenKind.NAME else None
        if feature is None and re.fullmatch(r"(tex|surf)([123]D|Cubemap)\w*", token.text):
            feature = "textures"
        if token.text in ("asm", "__asm__", "__asm") and _is_assembly(tokens, index):
            feature = "inline_ptx"
        if token.text == "<" and [(t.text, t.start) for t in tokens[index + 1 : index + 3]] == _next_two(token):
            feature = "dynamic_parallelism"
        if feature:
            yield _Edit(token.start, token.start + len(token.text), f" cg_unsupported_{feature} ")


def _next_two(token: Token) -> list[tuple[str, int]]:
    return [("<", token.start + 1), ("<", token.start + 2)]


def _is_assembly(tokens: Sequence[Token], index: int) -> bool:
    """Whether an `asm` has instructions; an empty one is a compiler barrier, which every compiler understands."""
    for token in tokens[index + 1 : index + 4]:
        if token.kind is TokenKind.LITERAL:
            return bool(token.text.strip('"').strip())
    return True


def _variables(tokens: Sequence[Token]) -> Iterator[str]:
    """Names of the `__device__` and `__constant__` variables outside of functions, classes and namespaces."""
    depth = 0
    words: list[str] = []
    for token in tokens:
        if token.kind is TokenKind.DIRECTIVE:
            continue
        if depth == 0 and token.text == ";":
            yield from _variable(words)
            words = []
            continue
        words.append(token.text)
        depth += (token.text == "{") - (token.text == "}")
        if depth == 0 and token.text == "}" and not _is_initialiser(words):
            words = []


def _is_initialiser(words: Sequence[str]) -> bool:
    """Whether the braces of a declaration hold a variable's value, not a body."""
    return not {"(", "namespace", "struct", "class", "union", "enum", "extern"} & set(words[: words.index("{")])


def _variable(words: Sequence[str]) -> Iterator[str]:
    declarator = words[: _end(words)]
    if not {"__device__", "__constant__"} & set(words[:3]):
        return
    if declarator[-1].isidentifier() and _NO_VARIABLES.isdisjoint(declarator):
        yield declarator[-1]


_NO_VARIABLES = frozenset(("(", "extern", "template", "using", "operator", "constexpr", "typedef"))


def _end(words: Sequence[str]) -> int:
    """Where the name of a declared variable ends."""
    return next((i for i, word in enumerate(words) if word in ("=", "[", "{")), len(words))
