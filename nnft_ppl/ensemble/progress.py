"""How far a long run has come: what it tells while it goes on."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from tqdm import tqdm


@dataclass(frozen=True)
class Progress:
    """A moment of a run.

    Attributes:
        num_draws: Networks so far, those of earlier runs included.
        total: Networks wanted; with a target error, as forecast.
        networks_per_second: Of this run.
        seconds_left: At this rate; infinite before it is known.
        relative_error: Of G4c so far; `None` before it is known or without order 4.
        memory: Bytes that the process has held at most, 0 where the system does not
            tell.
    """

    num_draws: int
    total: int
    networks_per_second: float
    seconds_left: float
    relative_error: float | None
    memory: int


type Monitor = Callable[[Progress], None]


class Pace:
    """Makes `Progress` of counts of networks."""

    def __init__(self, num_draws: int) -> None:
        """Start the clock at this many networks."""
        self._first, self._since = num_draws, time.perf_counter()

    def at(self, num_draws: int, total: int, relative_error: float | None) -> Progress:
        """Now."""
        rate = (num_draws - self._first) / (time.perf_counter() - self._since)
        return Progress(
            num_draws,
            total,
            rate,
            max(total - num_draws, 0) / rate if rate > 0 else float("inf"),
            relative_error,
            peak_memory(),
        )


def peak_memory() -> int:
    """Bytes that the process has held at most; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


class ProgressBar:
    """A bar on stderr, on a terminal only."""

    def __init__(self, label: str) -> None:
        """Show nothing yet."""
        self._label, self._bar = label, None

    def __call__(self, progress: Progress) -> None:
        """Draw it."""
        if self._bar is None:
            self._bar = tqdm(
                initial=progress.num_draws,
                desc=self._label,
                unit="net",
                unit_scale=True,
                disable=None,
                leave=False,
            )
        self._bar.total = progress.total
        if progress.relative_error is not None:
            self._bar.set_postfix_str(
                f"G4c ±{100 * progress.relative_error:.2g} %, "
                f"{progress.memory / 1e6:.0f} MB",
                refresh=False,
            )
        self._bar.update(progress.num_draws - self._bar.n)
        if progress.num_draws >= progress.total:
            self._bar.close()
