"""Which widths to try, to find the smallest from which on something is small enough.

In: widths tried, each with a verdict and how far from the limit it is. Out: the next
one, until a width that is enough follows one that is not, or nothing more can be told.
The law 1/N proposes; verdicts decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_START = 64
_MOST_TRIALS = 24
_MARGIN = 1.2
"""Of what a width beyond the undecided ones is given over their errors."""
_LARGEST_STEP = 16.0
"""Between one width and the next, where only one side is known."""
_FAILED = 2.0
"""Step away from a width of which nothing is known, as weights fail."""
_CLOSE = 1.1
"""Widths so near to one where weights fail are as good as that."""
_NEAR = 1.4
"""Largest step away from an undecided width towards one that is decided."""


@dataclass(frozen=True)
class Trial:
    """A width that was tried.

    Attributes:
        enough: `yes`, `no` or `undecided`.
        ratio: The distance over its tolerance, the largest of them; NaN if not known.
        reach: What the ratio may be wrong by, as far as verdicts go.
    """

    enough: str
    ratio: float
    reach: float

    @property
    def is_known(self) -> bool:
        """Whether its weights say anything."""
        return bool(np.isfinite(self.ratio))


def settled(enough: Mapping[int, str]) -> tuple[int, int | None]:
    """The largest width that is not enough, 0 if none, and the next that is, if any."""
    low = max((width for width, said in enough.items() if said == "no"), default=0)
    above = [w for w, said in enough.items() if said == "yes" and w > low]
    return low, min(above, default=None)


def next_width(trials: Mapping[int, Trial], max_width: int) -> int | None:
    """The width to try, or `None` where the search ends.

    It ends with an answer that twice as wide a network has been tried, too, or one of
    `max_width`; or with no width that is enough, `max_width` having been tried.
    """
    if not trials:
        return min(_START, max_width)
    _, high = settled({width: trial.enough for width, trial in trials.items()})
    found = None
    if len(trials) < _MOST_TRIALS:
        found = _upwards(trials, max_width) if high is None else _between(trials)
    if found is None and high is not None:
        check = min(2 * high, max_width)
        if max(trials) < check:
            return check
    return found


def _upwards(trials: Mapping[int, Trial], max_width: int) -> int | None:
    """Beyond the widest, none having been enough."""
    widest = max(trials)
    if widest >= max_width:
        return None
    trial = trials[widest]
    step = _beyond(trial) if trial.enough == "undecided" else 1.02 * trial.ratio
    step = min(max(step, 1.02), _LARGEST_STEP)
    return min(max(widest + 1, int(np.ceil(widest * step))), max_width)


def _between(trials: Mapping[int, Trial]) -> int | None:
    """Between one that is not enough, or none, and the next that is."""
    low, high = settled({width: trial.enough for width, trial in trials.items()})
    assert high is not None
    open_ = [width for width in trials if low < width < high]
    likely = min(max(_crossing(trials, low, high), low + 1), high - 1)
    if likely <= low:
        return None
    if not open_:
        return likely
    # All that are tried in between are undecided: look on either side of them.
    first, last = min(open_), max(open_)
    if likely > last or (likely < first and trials[first].is_known):
        return likely
    step = min(_beyond(trials[last]), _NEAR)
    if not trials[last].is_known:  # weights fail there: half-way
        step = max((high / last) ** 0.5, _CLOSE)
    above = max(int(np.ceil(last * step)), last + 1)
    if above < high:
        return above
    below = min(int(first / min(_beyond(trials[first], below=True), _NEAR)), first - 1)
    if below > low and trials[first].is_known:
        return below
    return None


def _beyond(trial: Trial, *, below: bool = False) -> float:
    """The step away from an undecided width at which there should be a verdict."""
    if not trial.is_known:
        return _FAILED
    reach = _MARGIN * trial.reach
    return 1 / max(trial.ratio - reach, 0.1) if below else trial.ratio + reach


def _crossing(trials: Mapping[int, Trial], low: int, high: int) -> int:
    """Where the ratio should be one: by the power law through both, else by 1/N."""
    above = max(trials[high].ratio, 1e-6)
    if low == 0:
        # A little below, so that it is likely not to be enough.
        return int(0.98 * high * max(above, 1 / _LARGEST_STEP))
    below = trials[low].ratio
    power = float(np.clip(np.log(below / above) / np.log(high / low), 0.5, 4.0))
    # Verdicts of far widths are of few networks: the nearer one knows better.
    width, ratio = (low, below) if below < 1 / above else (high, above)
    return int(np.ceil(width * ratio ** (1 / power)))
