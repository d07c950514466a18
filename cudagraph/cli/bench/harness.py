"""One way to measure: both sides in turn in one process, medians with their spread, and no ratio for a wrong result."""

from __future__ import annotations

import gc
import math
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

_SAMPLE = 2e-3  # seconds that one sample lasts at least
_SAMPLES = (5, 400)  # at least and at most, of each side
_QUICK_SAMPLES = (3, 3)


class Absent(Exception):
    """A suite or a case that cannot run here, and why: something optional is missing."""


@dataclass(frozen=True)
class Options:
    """How to run a suite. `seconds`: measuring time of one case; `quick`: small shapes and few samples, for tests.

    `compiled`: with peers that take long to compile.
    """

    device: str = "auto"
    seconds: float = 2.0
    quick: bool = False
    compiled: bool = True


def nothing() -> None:
    """Waits for nothing: what the host device computes is done when the call returns."""


@dataclass
class Case:
    """The same work done by us and by others; one call is one repetition.

    `check` gives the largest relative error of our result; more than `bound`, or an AssertionError, is wrong. `wait` is
    called after the calls of each sample, inside the clock. `moved` and `flops`: bytes and operations that the work
    needs at least, which together with `bandwidth` and `peak`, measured per second in the same process, give the share
    of the roofline. `amount` of `unit` is done by one call. `skipped`: peers that are not here, and why.
    """

    ours: Callable[[], object]
    check: Callable[[], float]
    peers: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    bound: float = 1e-5
    wait: Callable[[], object] = nothing
    skipped: Mapping[str, str] = field(default_factory=dict)
    moved: float = 0.0
    flops: float = 0.0
    amount: float = 0.0
    unit: str = ""
    bandwidth: float = 0.0
    peak: float = 0.0
    figures: dict[str, float | str] = field(default_factory=dict)


Maker = Callable[[], AbstractContextManager[Case]]
"""Opens what a case needs, and closes it afterwards."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median of `samples` samples of `calls` calls, and the quartiles."""

    median: float
    low: float
    high: float
    samples: int
    calls: int


@dataclass(frozen=True)
class Peer:
    """Another's time, and how many times ours it is: the median and the quartiles over pairs measured in turn."""

    timing: Timing
    ratio: float
    low: float
    high: float


@dataclass
class Result:
    """What one case gave. `wrong` and `failed` are empty, or say what; only a case without either has ratios."""

    suite: str
    case: str
    error: float | None = None
    bound: float = 0.0
    wrong: str = ""
    failed: str = ""
    ours: Timing | None = None
    peers: dict[str, Peer] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    share: float | None = None  # of the roofline
    rate: float | None = None  # `unit` per second
    unit: str = ""
    figures: dict[str, float | str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether nothing was wrong and nothing failed."""
        return not self.wrong and not self.failed


def run(suite: str, cases: Mapping[str, Maker], options: Options) -> Iterator[Result]:
    """Measure the cases one by one. One that fails says why and stops no other."""
    for name, maker in cases.items():
        result = Result(suite, name)
        try:
            with maker() as case:
                measure(case, result, options)
        except Absent as absent:
            result.skipped["this case"] = str(absent)
        except Exception as error:  # whatever a peer or a block raises belongs into the report
            result.failed = reason(error)
        if not result.good:
            result.ours, result.peers = None, {}
        yield result


def measure(case: Case, result: Result, options: Options) -> None:
    """Check one case, then measure it; what is wrong is never timed."""
    result.bound, result.skipped = case.bound, dict(case.skipped)
    case.ours()
    case.wait()
    try:
        result.error = float(case.check())
    except AssertionError as error:
        result.wrong = reason(error)
        return
    if not result.error <= case.bound:  # a NaN is not
        result.wrong = f"the largest relative error is {result.error:.2g}, more than {case.bound:.2g}"
        return
    peers = dict(_usable(case, result))
    times, calls = _in_turn([case.ours, *peers.values()], case.wait, options)
    ours, *others = times
    result.ours = _timing(ours, calls[0])
    for name, other, count in zip(peers, others, calls[1:], strict=True):
        low, ratio, high = _quartiles([theirs / mine for theirs, mine in zip(other, ours, strict=True)])
        result.peers[name] = Peer(_timing(other, count), ratio, low, high)
    result.share = roofline(case) / result.ours.median or None
    result.rate = case.amount / result.ours.median or None
    result.unit, result.figures = case.unit, case.figures


def roofline(case: Case) -> float:
    """Seconds that the machine needs at least, by what was measured of it; 0 where nothing was."""
    memory = case.moved / case.bandwidth if case.bandwidth else 0.0
    return max(memory, case.flops / case.peak if case.peak else 0.0)


def reason(error: BaseException) -> str:
    """An error in one line; one without words says where it is from."""
    text = " ".join(str(error).split())
    where = traceback.extract_tb(error.__traceback__)
    place = f" (line {where[-1].lineno} of {where[-1].name})" if where and not text else ""
    return f"{type(error).__name__}: {text[:200]}{place}"


def _usable(case: Case, result: Result) -> Iterator[tuple[str, Callable[[], object]]]:
    """The peers that run; one that does not is skipped with its reason."""
    for name, call in case.peers.items():
        try:
            call()
            case.wait()
        except Exception as error:  # another's compiler may raise anything
            result.skipped[name] = reason(error)
        else:
            yield name, call


def _in_turn(
    sides: Sequence[Callable[[], object]], wait: Callable[[], object], options: Options
) -> tuple[list[list[float]], list[int]]:
    """Seconds per call of every side, one sample of each after the other until the time is up; and calls per sample."""
    calls = [_calls_per_sample(side, wait) for side in sides]
    least, most = _QUICK_SAMPLES if options.quick else _SAMPLES
    times: list[list[float]] = [[] for _ in sides]
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + options.seconds
        while len(times[0]) < least or (len(times[0]) < most and time.perf_counter() < end):
            for side, count, found in zip(sides, calls, times, strict=True):
                found.append(_sample(side, count, wait))
    finally:
        if collecting:
            gc.enable()
    return times, calls


def _calls_per_sample(side: Callable[[], object], wait: Callable[[], object]) -> int:
    """How many calls make a sample long enough for the clock; this also warms up."""
    once = min(_sample(side, 1, wait) for _ in range(3))
    return max(1, math.ceil(_SAMPLE / max(once, 1e-7)))


def _sample(side: Callable[[], object], calls: int, wait: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        side()
    wait()
    return (time.perf_counter() - begin) / calls


def _timing(times: Sequence[float], calls: int) -> Timing:
    low, median, high = _quartiles(times)
    return Timing(median, low, high, len(times), calls)


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, statistics.median(values), high
