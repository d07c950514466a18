"""Plans: the engine that cuDNN chose for a graph, with its workspace, ready to be run or captured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cudagraph.errors import DeviceError

from .cudnn_graph import Graph, Target
from .cudnn_library import CudnnError, CudnnLibrary, Descriptor
from .cudnn_names import NOTES, Heuristic, Note

WORKSPACE_LIMIT = 256 << 20  # bytes that an engine may ask for; a plan keeps them as long as it lives
_BEST = 32  # engines that the heuristics are asked for
_AVOIDED = frozenset({Note.NONDETERMINISTIC, Note.DOWN_CONVERT_INPUTS, Note.REDUCED_PRECISION_REDUCTION})


class Plan:
    """An engine's way to compute a graph. Addresses are given by the tensors' identities."""

    def __init__(self, library: CudnnLibrary, plan: Descriptor) -> None:
        self._library = library
        self._plan = plan
        self.workspace_bytes: int = plan.get("EXECUTION_PLAN_WORKSPACE_SIZE", 1)[0]

    def run(self, handle: int, addresses: Mapping[int, int], workspace: int, subject: str) -> None:
        """Queue it on the handle's stream."""
        pack = Descriptor(self._library, "VARIANT_PACK")
        try:
            pack.set("VARIANT_PACK_UNIQUE_IDS", *addresses).set("VARIANT_PACK_DATA_POINTERS", *addresses.values())
            pack.set("VARIANT_PACK_WORKSPACE", workspace).finalize()
            self._library.call("cudnnBackendExecute", handle, self._plan.pointer, pack.pointer, subject=subject)
        finally:
            pack.close()

    def close(self) -> None:
        """Destroy it."""
        self._plan.close()


def choose(library: CudnnLibrary, graph: Graph, target: Target, *, subject: str, exact: bool = False) -> Plan:
    """The best plan whose sums are in a fixed order; `exact` leaves out tensor cores, which round float32 to TF32."""
    avoided = _AVOIDED | {Note.TENSOR_CORE} if exact else _AVOIDED
    refused = "its heuristics name none"
    try:
        whole = graph.finish(target)
        for config in _configurations(library, whole, target):
            if avoided.isdisjoint(_notes(library, config)):
                try:
                    return _plan(library, config, target)
                except CudnnError as error:
                    if not error.is_unsupported:
                        raise
                    refused = str(error)
    except CudnnError as error:
        if not error.is_unsupported:
            raise
        refused = str(error)
    raise DeviceError(
        f"{subject}: cuDNN {library.version_text} has no engine for this on this GPU: {refused}. "
        "Without library='cudnn' a block uses its own kernels"
    )


def _configurations(library: CudnnLibrary, graph: Descriptor, target: Target) -> Iterator[Descriptor]:
    """Engines with their settings, best first. Each lives until the next is asked for."""
    for mode in (Heuristic.A, Heuristic.FALLBACK):
        with _made(library, "ENGINEHEUR") as heuristic:
            heuristic.set("ENGINEHEUR_OPERATION_GRAPH", graph).set("ENGINEHEUR_MODE", mode)
            if target.properties is not None:
                heuristic.set("ENGINEHEUR_DEVICEPROP", target.properties)
            try:
                heuristic.finalize()
                count = heuristic.count("ENGINEHEUR_RESULTS")
            except CudnnError as error:
                if not error.is_unsupported:
                    raise
                continue
            found = [Descriptor(library, "ENGINECFG") for _ in range(min(count, _BEST))]
            try:
                yield from found[: heuristic.fill("ENGINEHEUR_RESULTS", found)] if found else ()
            finally:
                for config in found:
                    config.close()


def _notes(library: CudnnLibrary, config: Descriptor) -> list[int]:
    with _made(library, "ENGINE") as engine:
        config.fill("ENGINECFG_ENGINE", [engine])
        return engine.get("ENGINE_NUMERICAL_NOTE", NOTES)


def _plan(library: CudnnLibrary, config: Descriptor, target: Target) -> Plan:
    made = Descriptor(library, "EXECUTION_PLAN")
    try:
        made.set("EXECUTION_PLAN_ENGINE_CONFIG", config)
        if target.properties is not None:
            made.set("EXECUTION_PLAN_DEVICEPROP", target.properties)
        else:
            made.set("EXECUTION_PLAN_HANDLE", target.handle)
        plan = Plan(library, made.finalize())
        if plan.workspace_bytes > WORKSPACE_LIMIT:
            raise CudnnError(f"the engine wants {plan.workspace_bytes >> 20} MiB of workspace", 3000)
    except BaseException:
        made.close()
        raise
    return plan


@contextmanager
def _made(library: CudnnLibrary, kind: str) -> Iterator[Descriptor]:
    made = Descriptor(library, kind)
    try:
        yield made
    finally:
        made.close()
