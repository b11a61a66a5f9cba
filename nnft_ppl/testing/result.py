"""One row of the conformance kit, and how a sampled number is judged.

In: samples, or numbers computed exactly. Out: `CheckResult`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from nnft_ppl._errors import PluginError
from nnft_ppl._network import Network

MAX_STANDARD_ERRORS = 5.0
"""Of one row, however many comparisons it makes: one false alarm in 10⁶ rows."""

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
            comparison is exact. The worst of several is brought down to the distance
            that is as improbable for a single one.
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
        if self.expected == "":  # there is nothing to compare an exception with
            return f"`{self.check}`: {self.measured}{detail}"
        return (
            f"`{self.check}`: measured {shown(self.measured)}, expected "
            f"{shown(self.expected)}{apart}{detail}"
        )

    def explained(self, hint: str) -> "CheckResult":
        """The same row with a hint at the cause."""
        detail = f"{self.detail}; {hint}" if self.detail else hint
        return replace(self, detail=detail)


def shown(value: float | str) -> str:
    """A number to six digits, a text as it is."""
    return value if isinstance(value, str) else f"{value:.6g}"


class FailedChecksError(PluginError):
    """Checks that an architecture failed: its message is a list, and whole."""

    def __init__(self, network: Network, failed: Sequence[CheckResult]) -> None:
        """List them."""
        listed = "; ".join(map(str, failed))
        super().__init__(f"architecture {network.name!r} fails {listed}")

    def __str__(self) -> str:
        """The list."""
        return str(self.args[0])


class PluginCodeError(PluginError):
    """The plugin's own code raised.

    Attributes:
        row: The check that ran it, failed.
    """

    def __init__(self, network: Network, check: str, error: Exception) -> None:
        """Keep what was raised as a row."""
        raised = f"its code raised {type(error).__name__}: {error}"
        self.row = CheckResult(check, raised, "", np.inf, False)
        super().__init__(f"architecture {network.name!r} fails {self.row}")


@contextmanager
def plugin_code(network: Network, check: str) -> Iterator[None]:
    """Turn whatever the plugin's own code raises into a PluginError."""
    try:
        yield
    except PluginError:
        raise
    except Exception as error:
        raise PluginCodeError(network, check, error) from error


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
    apart = of_one(float(distance[worst]), distance.size)
    return CheckResult(
        check,
        float(measured[worst]),
        float(expected[worst]),
        apart,
        apart <= MAX_STANDARD_ERRORS,
        where.format(*(int(i) for i in worst)),
    )


def of_one(distance: float, count: int) -> float:
    """The distance of one comparison as improbable as this worst one of `count`."""
    if distance > 8:  # beyond the digits of a probability; the leading asymptotics
        return float(np.sqrt(distance**2 - 2 * np.log(count)))
    none = count * np.log1p(-2 * norm.sf(distance)) if distance > 0 else -np.inf
    return float(norm.isf(-np.expm1(none) / 2))


def not_compared(check: str, reason: str) -> CheckResult:
    """The row of a comparison that sampling cannot make here."""
    return CheckResult(check, "not compared", "-", 0.0, True, reason)
