"""How far a long run has come: what it tells while it goes on."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from tqdm.auto import tqdm  # a widget in a notebook, else text

try:
    import resource
except ImportError:  # not on every system
    resource = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Progress:
    """A moment of a run.

    Attributes:
        num_draws: Networks so far, those of earlier runs included; or what `unit` says.
        total: How many are wanted; with a target error, as forecast.
        rate: How many a second, of this run.
        seconds_left: At this rate; infinite before it is known.
        relative_error: Of G4c so far, or of what the target error is of; `None` before
            it is known or without order 4.
        memory: Bytes that the process has held at most, 0 where the system does not
            tell.
        unit: What is counted: `networks`, or in a fit by NUTS `steps` of each chain,
            those of the warm-up included.
    """

    num_draws: int
    total: int
    rate: float
    seconds_left: float
    relative_error: float | None
    memory: int
    unit: str = "networks"

    @property
    def networks_per_second(self) -> float:
        """The rate of a measurement."""
        return self.rate


_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 30.0
"""Between two lines where there is no terminal, in a log file of a batch job."""

type Monitor = Callable[[Progress], None]


class Pace:
    """Makes `Progress` of counts of networks, or of what `unit` says."""

    def __init__(self, num_draws: int, unit: str = "networks") -> None:
        """Start the clock at this many."""
        self._start = self._first = (num_draws, time.perf_counter())
        self._unit = unit

    def at(
        self, num_draws: int, total: int, relative_error: float | None = None
    ) -> Progress:
        """Now."""
        now = time.perf_counter()
        number, since = self._first
        rate = (num_draws - number) / max(now - since, 1e-9)
        known = rate > 0 and self._first is not self._start
        if self._first is self._start and num_draws > number:
            # What comes first waits for the compiler; the rest does not.
            self._first = (num_draws, now)
        return Progress(
            num_draws,
            total,
            rate,
            _seconds_left(total - num_draws, rate if known else 0.0),
            relative_error,
            peak_memory(),
            self._unit,
        )


def _seconds_left(number: int, rate: float) -> float:
    if number <= 0:
        return 0.0
    return number / rate if rate > 0 else float("inf")


def peak_memory() -> int:
    """Bytes that the process has held at most; 0 where the system does not tell."""
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; asked as tqdm asks, without importing it."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


class ProgressBar:
    """A bar: on stderr of a terminal, leaving nothing behind, or in a notebook.

    It closes itself at the end of the run; a run that may end before is put in `with`.
    """

    def __init__(
        self, label: str, target_error: float | None = None, quantity: str = "G4c"
    ) -> None:
        """Show nothing yet.

        Args:
            label: What is at work.
            target_error: The relative error at which the run will stop, or `None`.
            quantity: Of which the error is.
        """
        self._text = partial(
            describe, label=label, target_error=target_error, quantity=quantity
        )
        self._bar: Any = None
        self._drawn = 0.0
        self._stays = _in_notebook()

    def __enter__(self) -> Self:
        """For `with`."""
        return self

    def __exit__(self, *reason: object) -> None:
        """Clear the line; in a notebook the bar stays, red if the work is not done."""
        if self._bar is not None:
            self._bar.close()

    def __call__(self, progress: Progress) -> None:
        """Draw it."""
        done = progress.num_draws >= progress.total
        if self._bar is None:
            if not done:
                self._bar = self._first(progress)
                self._drawn = time.perf_counter()
        elif done:
            if self._stays:
                self._draw(progress)
            self._bar.close()
            self._bar = None  # what comes next has a bar of its own
        elif time.perf_counter() - self._drawn > _REDRAW_SECONDS:
            self._draw(progress)
            self._drawn = time.perf_counter()

    def _first(self, progress: Progress) -> Any:
        """The bar itself, as it is shown at first; nothing on what is no terminal."""
        return tqdm(
            initial=progress.num_draws,
            total=progress.total,
            desc=self._text(progress),
            bar_format="{percentage:3.0f}%|{bar}| {desc}",
            ncols=None if self._stays else _columns(),
            nrows=24,  # any; asked for, some terminals answer 0 and see nothing
            disable=False if self._stays else None,
            leave=self._stays,
        )

    def _draw(self, progress: Progress) -> None:
        bar = self._bar
        if progress.total != bar.total:
            bar.reset(progress.total)
        bar.n = progress.num_draws
        if not self._stays:
            bar.ncols = _columns()
        bar.set_description_str(self._text(progress))


class ProgressLines:
    """A line on stderr now and then, where nothing can be drawn anew."""

    def __init__(
        self, label: str, target_error: float | None = None, quantity: str = "G4c"
    ) -> None:
        """Say nothing yet; arguments as of `ProgressBar`."""
        self._text = partial(
            describe, label=label, target_error=target_error, quantity=quantity
        )
        self._said = time.perf_counter()

    def __call__(self, progress: Progress) -> None:
        """Say it, if the last line is long ago; the end is said by whoever works."""
        now = time.perf_counter()
        if now - self._said >= _LINE_SECONDS and progress.num_draws < progress.total:
            self._said = now
            sys.stderr.write(f"{self._text(progress)}\n")
            sys.stderr.flush()


def can_draw() -> bool:
    """Whether a bar can be seen: stderr is a terminal, or this is a notebook."""
    return _in_notebook() or bool(sys.stderr and sys.stderr.isatty())


def describe(
    progress: Progress,
    label: str,
    target_error: float | None = None,
    quantity: str = "G4c",
) -> str:
    """A line for people, such as `sample 3.4M/10M, 280k/s, 00:23 left`."""
    forecast = "" if target_error is None else "~"
    parts = [
        f"{label} {_short(progress.num_draws)}/{forecast}{_short(progress.total)}",
        f"{_short(progress.rate)}/s",
    ]
    if progress.seconds_left < float("inf"):
        parts.append(f"{tqdm.format_interval(progress.seconds_left)} left")
    if progress.relative_error is not None:
        goal = "" if target_error is None else f"→{100 * target_error:.2g}"
        parts.append(f"{quantity} ±{100 * progress.relative_error:.2g}{goal} %")
    if progress.memory:
        parts.append(f"{progress.memory / 1e6:.0f} MB")
    return ", ".join(parts)


def _columns() -> int:
    """Width of the terminal, 80 where it does not tell."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _short(number: float) -> str:
    """Three digits and a prefix."""
    return tqdm.format_sizeof(number) if number >= 1000 else f"{number:.0f}"


@contextmanager
def shown(
    label: str, target_error: float | None = None, quantity: str = "G4c"
) -> Iterator[Monitor]:
    """A bar that is closed at the end, or lines; arguments as of `ProgressBar`."""
    if can_draw():
        with ProgressBar(label, target_error, quantity) as bar:
            yield bar
    else:
        yield ProgressLines(label, target_error, quantity)


@contextmanager
def watching(
    progress: bool | Monitor,
    label: str,
    target_error: float | None = None,
    quantity: str = "G4c",
) -> Iterator[Monitor | None]:
    """The monitor that an argument `progress` asks for.

    Args:
        progress: `True` for a bar on a terminal or in a notebook and for a line now and
            then elsewhere, `False` for neither, or a monitor.
        label: What is at work.
        target_error: The relative error at which the run will stop, or `None`.
        quantity: Of which the error is.
    """
    if progress is True:
        with shown(label, target_error, quantity) as monitor:
            yield monitor
    else:
        yield progress or None
