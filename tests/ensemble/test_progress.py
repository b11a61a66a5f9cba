"""What a run tells while it goes on."""

import io
import sys

import pytest

from nnft_ppl.ensemble import progress
from nnft_ppl.ensemble.progress import Pace, Progress, ProgressBar, describe


class Terminal(io.StringIO):
    """Takes what would be seen."""

    def isatty(self):
        return True

    def lines(self):
        """What one would see at the end, line by line."""
        seen = []
        for line in self.getvalue().split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part) :]
            seen.append(shown.rstrip())
        return seen


def terminal_at(monkeypatch):
    """Put in place by the test itself: pytest takes stderr back after fixtures."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def moment(num_draws, total=1_000_000, error=0.0123):
    return Progress(num_draws, total, 5e5, (total - num_draws) / 5e5, error, 310 << 20)


def test_rate_and_time_left_are_of_this_run_after_its_first_block(monkeypatch):
    clock = iter([10.0, 13.0, 14.0, 15.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    pace = Pace(1000)  # of an earlier run
    first = pace.at(1600, 5000, None)
    # Three seconds of the first 600 were the compiler's: they say nothing of the rest.
    assert (first.networks_per_second, first.seconds_left) == (200, float("inf"))
    second = pace.at(2200, 5000, None)
    assert (second.networks_per_second, second.seconds_left) == (600, 2800 / 600)
    third = pace.at(2600, 2600, 0.1)
    assert (third.networks_per_second, third.seconds_left) == (500, 0)
    assert third.memory > 10_000_000


def test_description_tells_what_one_wants_to_know():
    text = describe(moment(340_000), "relu-net")
    assert text == ("relu-net 340k/1.00M, 500k/s, 00:01 left, G4c ±1.2 %, 325 MB")
    text = describe(moment(340_000, 3_200_000), "relu-net", 0.005)
    assert "340k/~3.20M," in text
    assert "G4c ±1.2→0.5 %" in text
    unknown = Progress(0, 10, 0.0, float("inf"), None, 0)
    assert describe(unknown, "sample") == "sample 0/10, 0/s"


def test_a_bar_is_shown_and_leaves_a_clean_line(monkeypatch):
    terminal = terminal_at(monkeypatch)
    monkeypatch.setattr(progress, "_REDRAW_SECONDS", -1.0)
    bar = ProgressBar("sample")
    bar(moment(100_000))
    assert " 10%|" in terminal.getvalue()
    assert "100k/1.00M" in terminal.getvalue()
    bar(moment(200_000, 400_000))
    assert " 50%|" in terminal.getvalue()
    assert "200k/400k" in terminal.getvalue()
    bar(moment(400_000, 400_000))
    assert terminal.lines() == [""]


def test_an_interrupted_bar_leaves_a_clean_line(monkeypatch):
    terminal = terminal_at(monkeypatch)

    def interrupted():
        with ProgressBar("sample") as bar:
            bar(moment(100_000))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "100k/1.00M" in terminal.getvalue()
    assert terminal.lines() == [""]


def test_without_a_terminal_nothing_is_shown(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressBar("sample") as bar:
        bar(moment(100_000))
    assert stream.getvalue() == ""
