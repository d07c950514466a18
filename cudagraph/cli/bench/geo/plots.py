"""Pictures of measurements, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]
_MOST_BARS = 40


def write_plots(records: Sequence[Record], folder: Path, over: Sequence[str]) -> list[Path]:
    """Medians as bars, and lines over each setting in `over` that has several values; nothing without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return []
    mpl.use("Agg")
    drawn = [_bars(records, folder / "medians.png")] if _bar_count(records) <= _MOST_BARS else []
    several = [name for name in over if len({str(record["settings"].get(name)) for record in records}) > 1]
    return drawn + [_lines(records, name, folder / f"over_{name}.png") for name in several]


def _bar_count(records: Sequence[Record]) -> int:
    return sum(len(record["results"]) for record in records)


def _bars(records: Sequence[Record], path: Path) -> Path:
    from matplotlib import pyplot

    names, medians, spreads = [], [], []
    for record in records:
        for result in record["results"]:
            timing = result["timing"]
            names.append(f"{result['name']}\n{label(record['settings'])}")
            medians.append(timing["median_ms"])
            spreads.append((timing["median_ms"] - timing["low_ms"], timing["high_ms"] - timing["median_ms"]))
    figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.5 * len(names)), layout="constrained")
    axes.barh(names, medians, xerr=list(zip(*spreads, strict=True)), color="#4477aa")
    axes.set(xscale="log", xlabel="ms (median, 10th to 90th percentile)")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    return _saved(figure, path)


def _lines(records: Sequence[Record], over: str, path: Path) -> Path:
    """One line per entrant and combination of the other settings."""
    from matplotlib import pyplot

    lines: dict[str, list[tuple[Any, float]]] = {}
    for record in records:
        rest = label({name: value for name, value in record["settings"].items() if name != over})
        for result in record["results"]:
            point = (record["settings"][over], result["timing"]["median_ms"])
            lines.setdefault(f"{result['name']} {rest}", []).append(point)
    figure, axes = pyplot.subplots(figsize=(10, 6), layout="constrained")
    for name, points in lines.items():
        ordered = sorted(points, key=lambda point: (isinstance(point[0], str), point[0]))
        axes.plot([str(x) for x, _ in ordered], [y for _, y in ordered], marker="o", label=name)
    axes.set(yscale="log", xlabel=over, ylabel="ms (median)")
    if len(lines) <= _MOST_BARS:
        axes.legend(fontsize=6)
    return _saved(figure, path)


def label(settings: Mapping[str, Any]) -> str:
    """Settings in one line."""
    return ", ".join(f"{name} {value}" for name, value in settings.items() if name != "what")


def _saved(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return path
