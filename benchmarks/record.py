"""Makes evidence and the page of benchmarks from what was measured.

    python benchmarks/record.py FOLDER [--evidence docs/evidence]   of gpu_run.sh, or of `cudagraph bench --out`
    python benchmarks/record.py --docs                              docs/benchmarks.md and its plots, from all evidence

FOLDER becomes <date>-<device>.json and .md. Every number of the page is from there; none is typed.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cudagraph.cli.bench import SUITES
from cudagraph.cli.bench.printing import seconds

ROOT = Path(__file__).resolve().parents[1]
EVIDENCE = ROOT / "docs" / "evidence"
PAGE = ROOT / "docs" / "benchmarks.md"
RUNS = "[0-9]*-*.json"
"""The runs among the evidence; other commands keep theirs beside them."""
IMAGES = ROOT / "docs" / "images"
HEAD = """# Benchmarks

<!-- Made by `python benchmarks/record.py --docs` from docs/evidence. -->

`cudagraph bench` measures on your machine; [the command line](command-line.md#cudagraph-bench) says how. Both sides of
a case run in one process, a sample of each in turn, after a warm-up. A ratio is the other's time divided by ours:
**above 1, cudagraph is faster**. It is the median over pairs of samples, with the quartiles in brackets. Each result is
checked first, and a wrong one has no ratio. Roofline: the share of what a copy, or a matrix product, reached in the
same process. A load far above zero means that others used the machine meanwhile.
"""
Record = Mapping[str, Any]


def gathered(folder: Path) -> dict[str, Any]:
    """Everything in a folder: the suites, the steps of gpu_run.sh, and the figures of gpu_engine.py."""
    suites = [json.loads(line) for path in _suite_files(folder) for line in path.read_text().splitlines() if line]
    if not suites:
        raise SystemExit(f"{folder} holds no suites: no suites.jsonl, and no files of `cudagraph bench --out`")
    suites = sorted(_merged(suites), key=lambda suite: list(SUITES).index(suite["suite"]))
    engine = folder / "gpu_engine.json"
    environment = suites[0]["environment"]
    for suite in suites:
        suite["load"] = suite.pop("environment")["load"]
    return {
        "environment": environment,
        "steps": _steps(folder / "steps.tsv"),
        "suites": suites,
        "gpu_engine": json.loads(engine.read_text()) if engine.exists() else {},
    }


def _merged(suites: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each suite once. Where it ran again, with more peers, a case that was measured again has its newer result."""
    found: dict[str, dict[str, Any]] = {}
    for suite in suites:
        first = found.setdefault(suite["suite"], suite)
        if first is not suite:
            newer = {result["case"]: result for result in suite["results"] if result["peers"]}
            first["results"] = [newer.pop(result["case"], result) for result in first["results"]] + [*newer.values()]
    return list(found.values())


def _suite_files(folder: Path) -> list[Path]:
    lines = folder / "suites.jsonl"
    return [lines] if lines.exists() else [path for name in SUITES if (path := folder / f"{name}.json").exists()]


def _steps(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    names = ("step", "exit", "seconds", "limit", "summary")
    lines = [line.split("\t") for line in path.read_text(errors="replace").splitlines()]
    return [dict(zip(names, line, strict=False)) for line in lines]


def name_of(evidence: Record) -> str:
    """<date>-<device>, for files and for anchors."""
    facts = evidence["environment"]
    device = facts["gpu"].get("name") or facts["processor"]
    return f"{facts['date']}-{re.sub(r'[^a-z0-9]+', '-', device.lower()).strip('-')}"


def evidence_page(evidence: Record) -> str:
    """One run as Markdown: where, what every step did, and all results."""
    parts = [f"# {name_of(evidence)}\n", "<!-- Made by `python benchmarks/record.py`. -->\n", *facts_table(evidence)]
    if evidence["steps"]:
        parts += ["## Steps\n", "| Step | Exit code | Seconds | Limit | Ends with |\n|---|---|---|---|---|"]
        parts += [f"| {' | '.join(_plain(str(value)) for value in step.values())} |" for step in evidence["steps"]]
        parts.append("")
    for suite in evidence["suites"]:
        parts += [f"## {suite['suite']}\n", *suite_table(suite), ""]
    if evidence["gpu_engine"]:
        parts += ["## gpu_engine.py\n", "```json", json.dumps(evidence["gpu_engine"], indent=1), "```"]
    return "\n".join(parts).rstrip() + "\n"


def page(folder: Path = EVIDENCE) -> str:
    """docs/benchmarks.md: the newest run of every device."""
    newest: dict[str, Record] = {}
    for path in sorted(folder.glob(RUNS)):
        evidence = json.loads(path.read_text())
        newest[name_of(evidence)[11:]] = evidence
    return "\n".join([HEAD, *(line for evidence in newest.values() for line in _section(evidence))]).rstrip() + "\n"


def _section(evidence: Record) -> Iterator[str]:
    name = name_of(evidence)
    yield f"## {evidence['environment']['description']}\n"
    yield f"The whole record: [evidence of {evidence['environment']['date']}](evidence/{name}.md).\n"
    yield from facts_table(evidence)
    for suite in evidence["suites"]:
        yield f"### {suite['suite']}: {SUITES[suite['suite']]}\n"
        if ratios(suite):
            yield f"![Ratios of {suite['suite']}](images/{plot_name(evidence, suite)})\n"
        yield from suite_table(suite)
        yield ""


def facts_table(evidence: Record) -> Iterator[str]:
    """Where it ran."""
    facts = evidence["environment"]
    gpu = facts["gpu"]
    rows = {
        "Device": facts["description"],
        "GPU": ", ".join(f"{name} {value}" for name, value in gpu.items()),
        "Processor": f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads used",
        "Load before each suite": ", ".join(f"{suite['suite']} {suite['load']}" for suite in evidence["suites"]),
        "Variables": ", ".join(f"{name}={value}" for name, value in facts.get("variables", {}).items()),
        "Date and commit": f"{facts['date']}, {facts['commit'] or 'cudagraph ' + facts['cudagraph']}",
        "Python and packages": ", ".join([f"Python {facts['python']}", *map(" ".join, facts["packages"].items())]),
    }
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {_plain(value)} |" for name, value in rows.items() if value)
    yield ""


def suite_table(suite: Record) -> Iterator[str]:
    """Every case of a suite; below it, who was not there."""
    if suite["absent"]:
        yield f"Not run: {_plain(suite['absent'])}."
        return
    results = suite["results"]
    peers = list(dict.fromkeys(name for result in results for name in result["peers"]))
    shared, figures = any(result["share"] for result in results), any(result["figures"] for result in results)
    columns = ["Case", "cudagraph", *peers, *(["Roofline"] * shared), *(["Figures"] * figures)]
    yield f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
    for result in results:
        cells = [_ratio(result["peers"].get(name)) for name in peers]
        cells += [f"{100 * result['share']:.0f}%" if result["share"] else ""] * shared
        cells += [", ".join(f"{name} {_number(value)}" for name, value in result["figures"].items())] * figures
        yield f"| {' | '.join([_plain(result['case']), _ours(result), *cells])} |"
    yield ""
    yield from _skipped(results)


def _ours(result: Record) -> str:
    if result["wrong"] or result["failed"]:
        label = "wrong" if result["wrong"] else "failed"
        return f"**{label}**: {_plain(result['wrong'] or result['failed'])}"
    if result["ours"] is None:
        return "not run"
    rate = f", {result['rate']:,.3g} {result['unit']}/s" if result["rate"] else ""
    return f"{seconds(result['ours']['median'])}{rate}"


def _ratio(peer: Record | None) -> str:
    return f"**{_times(peer['ratio'])}** ({_times(peer['low'])} to {_times(peer['high'])})" if peer else ""


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def _number(value: float | str) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else value


def _skipped(results: Sequence[Record]) -> Iterator[str]:
    reasons: dict[tuple[str, str], int] = {}
    for result in results:
        for item in result["skipped"].items():
            reasons[item] = reasons.get(item, 0) + 1
    for (name, reason), count in reasons.items():
        yield f"- Without {name} in {count} case{'s' * (count != 1)}: {_plain(reason)}"


def _plain(text: str) -> str:
    """Text that Markdown leaves alone."""
    return re.sub(r"[\\|*_`\[\]<>#~]", lambda found: f"&#{ord(found[0])};", text)


def ratios(suite: Record) -> dict[str, dict[str, float]]:
    """The ratios to draw: by case, by peer."""
    return {
        result["case"]: {n: p["ratio"] for n, p in result["peers"].items()}
        for result in suite["results"]
        if result["peers"]
    }


def plot_name(evidence: Record, suite: Record) -> str:
    """The file of a suite's plot."""
    return f"bench-{name_of(evidence)[11:]}-{suite['suite']}.svg"


def draw(evidence: Record, suite: Record, folder: Path) -> Path:
    """A bar for each ratio, on a logarithmic scale with 1 in the middle."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "cudagraph"  # the same file from the same numbers
    from matplotlib import pyplot

    cases = ratios(suite)
    peers = list(dict.fromkeys(name for each in cases.values() for name in each))
    height = 0.8 / len(peers)
    figure, axes = pyplot.subplots(figsize=(9, 0.8 + (0.2 + 0.16 * len(peers)) * len(cases)), layout="constrained")
    for i, peer in enumerate(peers):
        points = [
            (row + (i + 0.5) * height - 0.4, each[peer]) for row, each in enumerate(cases.values()) if peer in each
        ]
        axes.barh([y for y, _ in points], [x - 1 for _, x in points], height * 0.9, left=1, label=peer)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="times as fast as")
    axes.set_yticks(range(len(cases)), list(cases), fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=8)
    path = folder / plot_name(evidence, suite)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def record(folder: Path, evidence_folder: Path) -> Path:
    """Write a folder's evidence; the path of its page."""
    evidence = gathered(folder)
    evidence_folder.mkdir(parents=True, exist_ok=True)
    path = evidence_folder / f"{name_of(evidence)}.json"
    path.write_text(json.dumps(evidence, indent=1) + "\n")
    path.with_suffix(".md").write_text(evidence_page(evidence))
    return path.with_suffix(".md")


def write_docs(evidence_folder: Path = EVIDENCE, target: Path = PAGE, images: Path = IMAGES) -> None:
    """The page and its plots."""
    target.write_text(page(evidence_folder))
    for path in sorted(evidence_folder.glob(RUNS)):
        evidence = json.loads(path.read_text())
        for suite in evidence["suites"]:
            if ratios(suite):
                draw(evidence, suite, images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--evidence", type=Path, default=EVIDENCE)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    if options.folder is not None:
        print(record(options.folder, options.evidence))
    if options.docs:
        write_docs(options.evidence)
    if options.folder is None and not options.docs:
        parser.error("name a folder, or --docs")


if __name__ == "__main__":
    main()
