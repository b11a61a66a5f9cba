"""One row of the contract check, and how a sampled number is judged.

In: samples, or numbers computed exactly. Out: `CheckResult`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import PluginError
from nnft_ppl._network import Network

MAX_STANDARD_ERRORS = 5.0
"""Five: one false alarm in about 10⁴ runs of a hundred comparisons each."""

_FLOAT32_ROUNDING = 1e-5
_ERROR_CONFIDENCE = 3.0


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes:
        check: Name of the check.
        measured: What the plugin does; of several numbers the worst.
        expected: What the contract or the plugin's own declaration demands.
        standard_errors: Their distance in standard errors; 0 or infinity where the
            comparison is exact.
        passed: Whether the check holds.
        detail: Where the worst number is, and what to look at.
    """

    check: str
    measured: float | str
    expected: float | str
    standard_errors: float
    passed: bool
    detail: str = ""

    def __str__(self) -> str:
        """One line for people."""
        apart = (
            f", {self.standard_errors:.1f} standard errors apart"
            if np.isfinite(self.standard_errors) and self.standard_errors > 0
            else ""
        )
        detail = f" ({self.detail})" if self.detail else ""
        return (
            f"`{self.check}`: measured {_show(self.measured)}, expected "
            f"{_show(self.expected)}{apart}{detail}"
        )


def _show(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


@contextmanager
def plugin_code(network: Network, check: str) -> Iterator[None]:
    """Turn whatever the plugin's own code raises into a PluginError."""
    try:
        yield
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(
            f"architecture {network.name!r} fails `{check}`: its code raised "
            f"{type(error).__name__}: {error}"
        ) from error


def exact(
    check: str, measured: object, expected: object, detail: str = ""
) -> CheckResult:
    """Compare two things that must be equal, shown as text."""
    passed = measured == expected
    distance = 0.0 if passed else np.inf
    return CheckResult(check, str(measured), str(expected), distance, passed, detail)


def close(
    check: str,
    measured: np.ndarray,
    expected: np.ndarray,
    tolerance: float,
    detail: str = "",
) -> CheckResult:
    """Compare arrays that must agree to `tolerance` times the larger array's size."""
    measured, expected = np.broadcast_arrays(measured, expected)
    scale = max(np.max(np.abs(measured)), np.max(np.abs(expected)), 1e-300)
    with np.errstate(invalid="ignore"):  # infinities: not a number, which fails
        gap = np.abs(measured - expected) / scale
    worst = np.unravel_index(np.argmax(np.where(np.isnan(gap), np.inf, gap)), gap.shape)
    passed = bool(gap[worst] <= tolerance)
    return CheckResult(
        check,
        float(measured[worst]),
        float(expected[worst]),
        0.0 if passed else np.inf,
        passed,
        "" if passed else detail,
    )


def mean_and_error(
    samples: Float[np.ndarray, "draw ..."],
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over draws, and the upper end of its standard error.

    A heavy tail makes the sample's variance itself uncertain, and too small exactly
    when the mean is. Its own relative error is therefore added, three times: nothing
    for light tails, at most a factor of two when one draw dominates.
    """
    count = len(samples)
    mean = samples.mean(axis=0)
    squares = (samples - mean) ** 2
    variance = squares.mean(axis=0)
    spread = squares.std(axis=0) / np.sqrt(count)
    return mean, np.sqrt((variance + _ERROR_CONFIDENCE * spread) / (count - 1))


def within_errors(
    check: str,
    measured: np.ndarray,
    expected: np.ndarray | float,
    error: np.ndarray,
    *,
    scale: np.ndarray | float,
    where: str = "",
) -> CheckResult:
    """Judge sampled numbers by the one that is most standard errors off.

    Args:
        check: Name.
        measured: Sampled numbers.
        expected: What they should be.
        error: Standard errors.
        scale: Natural size of the numbers, for the rounding of float32.
        where: Format of the worst entry's place, its index in `{}`s.
    """
    measured, expected, error, scale = np.broadcast_arrays(
        measured, expected, error, scale
    )
    gap = np.abs(measured - expected)
    error = np.hypot(error, _FLOAT32_ROUNDING * np.abs(scale))
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = gap / error
    distance = np.where((gap == 0) & (error == 0), 0.0, distance)
    distance = np.where(np.isnan(distance), np.inf, distance)
    worst = np.unravel_index(np.argmax(distance), distance.shape)
    return CheckResult(
        check,
        float(measured[worst]),
        float(expected[worst]),
        float(distance[worst]),
        bool(distance[worst] <= MAX_STANDARD_ERRORS),
        where.format(*(int(i) for i in worst)),
    )
