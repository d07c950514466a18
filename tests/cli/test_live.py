"""The demo on a terminal: a real pseudo-terminal, with keys pressed in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pty = pytest.importorskip("pty")
ROOT = Path(__file__).parents[2]


class Terminal:
    """A program in a pseudo-terminal of 40 x 140 characters."""

    def __init__(self, *arguments: str) -> None:
        self.ours, theirs = pty.openpty()
        self.settings = self.terminal_settings()
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "140", "LINES": "40"}
        command = [sys.executable, "-m", "cudagraph", *arguments]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.text = ""
        self.closed = False
        os.set_blocking(self.ours, False)

    def terminal_settings(self) -> list[object]:
        import termios

        return termios.tcgetattr(self.ours)

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def wait_for(self, text: str, seconds: float = 60.0) -> None:
        """Read until `text` was printed since the last call."""
        until = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < until and not self.closed, f"{text!r} did not appear in\n{self.text[-3000:]}"
            self.read()
        self.text = self.text[self.text.index(text) + len(text) :]

    def read(self) -> None:
        try:
            self.text += os.read(self.ours, 65536).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:  # what Linux says once the program has closed its end
            self.closed = True

    def finish(self) -> int:
        until = time.monotonic() + 30
        while not self.closed and time.monotonic() < until:
            self.read()
        return self.process.wait(timeout=5)


@pytest.fixture
def terminal():
    started = Terminal("demo", "--particles", "2000", "--device", "host")
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()
    os.close(started.ours)


def test_keys_change_values_while_it_runs(terminal):
    terminal.wait_for("hot updates 0")
    terminal.wait_for("gravity 4.00")
    terminal.press("G")
    terminal.wait_for("hot updates 1")
    terminal.wait_for("gravity 5.00")
    terminal.press("ddE")
    terminal.wait_for("rebuilds 1   hot updates 4")
    terminal.wait_for("drag 0.067")
    terminal.wait_for("emission 625")
    terminal.press("r")
    terminal.wait_for("emission 500")
    terminal.wait_for("/ 2,000")  # append counts and capacity
    terminal.press(" ")
    terminal.wait_for("paused")
    terminal.press("q")
    assert terminal.finish() == 0
    assert ", builds: 1" in terminal.text
    assert terminal.terminal_settings() == terminal.settings


def test_the_terminal_is_restored_after_an_interrupt(terminal):
    terminal.wait_for("hot updates 0")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() != 0
    assert terminal.terminal_settings() == terminal.settings
