"""Every Python block in README and the docs runs, and prints what the docs say it prints."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A fenced block with its info line, such as ```python or ```cuda title="wave.cu", and the line before it.
FENCE = re.compile(
    r"^(?P<before>[^\n]*)\n```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
TITLE = re.compile(r'title="([^"]+)"')
SKIP = "<!-- not run"


@dataclass(frozen=True)
class Snippet:
    """One fenced block; `line` is that of its first line in the page."""

    language: str
    title: str
    text: str
    line: int
    skipped: bool


def snippets(page: Path) -> list[Snippet]:
    text = "\n" + page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        title = TITLE.search(match["info"])
        line = text.count("\n", 0, match.start("text"))
        skipped = match["before"].startswith(SKIP)
        found.append(Snippet(match["language"], title[1] if title else "", match["text"], line, skipped))
    return found


def run_page(page: Path, folder: Path) -> int:
    """Run the Python blocks one after another in one namespace; blocks with a file name as title become files."""
    namespace: dict[str, object] = {"__name__": f"docs_{page.stem.replace('-', '_')}"}
    printed = ""
    runs = 0
    for snippet in snippets(page):
        if snippet.title == "output":
            assert printed == snippet.text, f"{page}:{snippet.line} says otherwise"
        elif snippet.title:
            (folder / snippet.title).write_text(snippet.text)
        elif snippet.language == "python" and not snippet.skipped:
            # The lines before keep line numbers of tracebacks as they are in the page.
            code = compile("\n" * (snippet.line - 1) + snippet.text, str(page), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, namespace)
            printed = out.getvalue()
            runs += 1
    return runs


def runs_code(page: Path) -> bool:
    return any(snippet.language == "python" and not snippet.skipped for snippet in snippets(page))


@pytest.mark.parametrize("page", list(filter(runs_code, PAGES)), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDAGRAPH_DEVICE", "host")
    monkeypatch.chdir(tmp_path)
    assert run_page(page, tmp_path) > 0


def test_these_pages_hold_code_that_runs():
    running = {page.stem for page in PAGES if runs_code(page)}
    assert {"README", "concepts", "write-a-block", "write-a-kernel", "tiers", "debugging"} <= running


def test_a_page_that_prints_something_else_fails(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('text\n```python\nprint(1)\n```\n\n```text title="output"\n2\n```\n')
    with pytest.raises(AssertionError, match="says otherwise"):
        run_page(page, tmp_path)


def test_few_blocks_are_skipped():
    skipped = [f"{page.name}:{each.line}" for page in PAGES for each in snippets(page) if each.skipped]
    assert len(skipped) <= 4, skipped


def test_the_table_of_environment_variables_is_the_real_one():
    from cudagraph.environment import variables_table

    assert variables_table() in (ROOT / "docs" / "environment.md").read_text()


def test_every_example_is_described():
    page = (ROOT / "docs" / "examples.md").read_text()
    examples = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert set(re.findall(r"`(\w+\.py)`", page)) == examples


def test_the_page_of_blocks_is_made_from_the_catalogue():
    from cudagraph import blocks
    from cudagraph.blocks.catalogue import catalogue, exported_blocks
    from cudagraph.cli.blocks import markdown

    page = (ROOT / "docs" / "blocks.md").read_text()
    assert page == markdown(), "run: cudagraph blocks --markdown > docs/blocks.md"
    assert set(re.findall(r"^::: cudagraph\.blocks\.(\w+)$", page, re.MULTILINE)) == set(exported_blocks())
    named = {name for entry in catalogue() for name in entry.blocks if "." not in name}
    assert all(hasattr(blocks, name) for name in named)


def test_every_public_name_is_in_the_reference():
    import cudagraph as cg

    page = (ROOT / "docs" / "api.md").read_text()
    pages = set(re.findall(r"^::: cudagraph(?:\.engine)?\.(\w+)$", page, re.MULTILINE))
    errors = {name for name, value in vars(cg).items() if isinstance(value, type) and issubclass(value, Exception)}
    public = {name for name, value in vars(cg).items() if name[0].isupper() or (callable(value) and name[0] != "_")}
    assert public - errors - {"TYPE_CHECKING", "Any"} <= pages


def test_every_command_is_described():
    from typer.main import get_command

    from cudagraph.cli.app import app

    page = (ROOT / "docs" / "command-line.md").read_text()
    commands = get_command(app).commands
    assert set(re.findall(r"^## `cudagraph (\w+)`", page, re.MULTILINE)) == set(commands)
    for name, command in commands.items():
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        missing = {option for option in options - {"--help"} if f"`{option}" not in page}
        assert not missing, f"cudagraph {name}"


def test_ci_runs_the_command_of_the_readme():
    command = re.search(r"python -m pytest[^\n`]*", (ROOT / "README.md").read_text())
    assert command
    assert command[0] in (ROOT / ".ci" / "run").read_text()


def test_links_between_files_of_the_readme_exist():
    for target in re.findall(r"\]\(((?!https?:|#)[^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
