r"""The approach to the Gaussian process: over several widths, at the rate 1/N.

In: a network, inputs, draws. Out: `CheckResult`s. Everything rests on bounded averages,
so that it holds for outputs without a variance. With f̄ the output along a direction in
the space of inputs, in units of its own median size,

.. math:: D = E\cos(\sqrt2 f̄) / (E\cos f̄)^2 - 1

is 0 for a Gaussian of any variance, κ/12 for one of small excess kurtosis κ, and
constant for a stable law. Where f̄ is Gaussian given the features, cos f̄ is replaced by
its mean given them, Y = exp(−K̂/2): D = Var Y/(E Y)², whose error is a fixed fraction of
it at every width.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float
from scipy.optimize import curve_fit

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Points
from nnft_ppl.testing.readout import weight_moment
from nnft_ppl.testing.result import (
    MAX_STANDARD_ERRORS,
    CheckResult,
    mean_and_error,
    not_compared,
)
from nnft_ppl.testing.sampling import Sample, affordable_draws, draw

_MAX_BASE = 20
"""Widest first width of the sweep, of which parameters grow as the square."""
_KURTOSIS = 12.0
"""Excess kurtosis over D, to leading order."""
_MEDIAN_OF_NORMAL = 0.67448975
_MAX_DRIFT = 0.3
"""Of the size of f with N, as a power; a factor √N forgotten is one of 0.5."""
_CURVATURE = 2.0
"""Deviation from rate 1 that a bounded D may have, over what its shape tells."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """The same inputs at several widths.

    Attributes:
        samples: By width.
        refused: Why some widths are not there, or the empty text.
    """

    samples: Mapping[int, Sample]
    refused: str = ""


@dataclass(frozen=True)
class _Distance:
    """How far from Gaussian, at one width.

    Attributes:
        value: D, a mean over directions and outputs.
        error: Its standard error.
        shape: D of f̄/√2, times 4, over D: 1 where D is ∝ κ, larger with heavy tails.
        size: Logarithm of the median size of f, a mean over directions.
    """

    value: float
    error: float
    shape: float
    size: float


def draw_sweep(
    network: Network, points: Points, sample: Sample, num_draws: int, key: Key
) -> Sweep:
    """Sample at three widths; `sample` is that of the network's own.

    Outputs that are not conditioned on features need small widths, where there is
    something to be seen beside their noise, and more draws.
    """
    conditional = network.gaussian_readout() is not None
    base = min(network.width, _MAX_BASE)
    widths = (base, 3 * base, 8 * base)
    if not conditional:
        widths = (max(2, base // 4), max(4, base), 3 * max(4, base))
    samples: dict[int, Sample] = {}
    for width, part in zip(widths, jax.random.split(key, len(widths)), strict=True):
        if width == network.width:
            samples[width] = sample
            continue
        try:
            resized = network.with_width(width)
        except SpecError as error:
            return Sweep(samples, str(error))
        count = affordable_draws(resized, num_draws if conditional else 4 * num_draws)
        samples[width] = draw(resized, points, count, part)
    return Sweep(samples)


def check_limit(network: Network, sweep: Sweep) -> Iterator[CheckResult]:
    """The output keeps its size, and its distance from a Gaussian falls as 1/N."""
    if len(sweep.samples) < 3:
        yield not_compared("gaussian-limit", f"too few widths: {sweep.refused}")
        return
    widths = np.array(list(sweep.samples))
    conditional = network.gaussian_readout() is not None
    first = next(iter(sweep.samples.values()))
    directions = _directions(first)
    distances = [_distance(s, directions, conditional) for s in sweep.samples.values()]
    yield _check_size(widths, distances, network)
    yield _check_approach(widths, distances, network, conditional)


def _directions(sample: Sample) -> Float[np.ndarray, "direction point"]:
    """Two inputs and some weighted sums of all, each input in its own size."""
    size = np.median(np.abs(sample.values), axis=(0, 2))
    size = np.where(size > 0, size, 1.0)
    count = len(size)
    mixed = np.random.default_rng(0).normal(size=(3, count)) / size
    return np.concatenate([np.eye(count)[[0, -1]], mixed]) if count > 1 else np.eye(1)


def _distance(
    sample: Sample, directions: Float[np.ndarray, "direction point"], conditional: bool
) -> _Distance:
    """D with its error by linear propagation."""
    if conditional:
        assert sample.kernels is not None
        square = np.einsum("an,dnm,bm->dab", directions, sample.kernels, directions)
        exponent = np.einsum("daa->da", square) / 2
        middle = np.median(exponent, axis=0)
        middle = np.where(middle > 0, middle, np.maximum(exponent.mean(axis=0), 1e-300))
        exponent = exponent / (2 * middle)
        size = 0.5 * np.log(middle)

        def cosine(factor: float) -> np.ndarray:
            return np.asarray(np.exp(-(factor**2) * exponent))
    else:
        field = np.einsum("an,dno->dao", directions, sample.values)
        field = field.reshape(len(field), -1)
        field = field - np.median(field, axis=0)
        scale = np.median(np.abs(field), axis=0) / _MEDIAN_OF_NORMAL
        scale = np.where(
            scale > 0, scale, np.maximum(np.abs(field).max(axis=0), 1e-300)
        )
        field = field / scale
        size = np.log(scale)

        def cosine(factor: float) -> np.ndarray:
            return np.asarray(np.cos(factor * field))

    def excess(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
        mean, far = one.mean(axis=0), other.mean(axis=0)
        influence = other / mean**2 - 2 * far / mean**3 * one
        _, error = mean_and_error(influence.mean(axis=1))
        return float(np.mean(far / mean**2 - 1)), float(error)

    middle_cosine = cosine(1.0)
    value, error = excess(middle_cosine, cosine(np.sqrt(2)))
    near, _ = excess(cosine(np.sqrt(0.5)), middle_cosine)
    shape = 4 * near / value if abs(value) > MAX_STANDARD_ERRORS * error else 1.0
    return _Distance(value, error, max(shape, 1e-3), float(size.mean()))


def _check_size(
    widths: np.ndarray, distances: list[_Distance], network: Network
) -> CheckResult:
    """The size of f is no power of the width."""
    steps = np.diff([d.size for d in distances]) / np.diff(np.log(widths))
    drift = float(steps[-1])
    passed = abs(drift) <= _MAX_DRIFT or network.no_gp_limit is not None
    hint = (
        ""
        if passed
        else (
            f"the size of f goes as N^{drift:.2f} up to N = {widths[-1]}: is a 1/√N "
            f"{'missing' if drift > 0 else 'applied twice'}?"
        )
    )
    return CheckResult(
        "output-size", drift, 0.0, 0.0 if passed else np.inf, passed, hint
    )


def _check_approach(
    widths: np.ndarray, distances: list[_Distance], network: Network, conditional: bool
) -> CheckResult:
    """D ∝ N^−p with p = 1, or smaller as far as heavy tails explain it."""
    value = np.array([d.value for d in distances])
    error = np.maximum([d.error for d in distances], 1e-12)
    series = ", ".join(
        with_error(_KURTOSIS * v, _KURTOSIS * e)
        for v, e in zip(value, error, strict=True)
    )
    series = (
        f"the excess kurtosis at N = {', '.join(map(str, widths))} is {series}, by a "
        "bounded measure"
    )
    reason = network.no_gp_limit
    check = "gaussian-limit" if reason is None else "no-gaussian-limit"
    if (np.abs(value) <= MAX_STANDARD_ERRORS * error).all():
        passed = reason is None
        return CheckResult(
            check,
            "Gaussian within errors",
            "not Gaussian" if reason else "Gaussian or nearer to it as 1/N",
            0.0 if passed else np.inf,
            passed,
            series + ("" if passed else f"; the plugin declares no limit: {reason}"),
        )
    power, power_error = _fitted_power(widths, value, error)
    tails = _CURVATURE * float(np.mean(np.abs(np.log([d.shape for d in distances]))))
    if reason is not None:
        passed = not (power - 5 * power_error > 0.5 and tails < 0.25)
        return CheckResult(
            check,
            f"N^{-power:.2f}",
            "no fall as 1/N",
            0.0 if passed else np.inf,
            passed,
            series + ("" if passed else f"; the plugin declares no limit: {reason}"),
        )
    readout = network.readout()
    if readout is not None and not np.isfinite(weight_moment(readout, 4)):
        tails = np.inf  # slower than 1/N, by how much depends on the law
    falls = power > MAX_STANDARD_ERRORS * power_error
    slow = max(0.0, 1 - power - tails) / power_error
    passed = falls and slow <= MAX_STANDARD_ERRORS
    if passed:
        detail = series
    elif falls and power > 0.5:
        detail = f"the approach to the GP is slower than 1/N: {series}"
    else:
        cause = (
            "K̂ does not concentrate as the width grows: is a parameter or a scale "
            "shared by all hidden units?"
            if conditional
            else "is a parameter or a scale shared by all hidden units, or a prior "
            "without a variance?"
        )
        detail = (
            f"no GP limit: {series}; {cause} Declare `no_gp_limit` where it is meant"
        )
    return CheckResult(
        check,
        f"N^{with_error(-power, power_error)}",
        "N^-1"
        + (
            f", or up to N^{min(tails - 1, 0.0):.2f} for its tails"
            if tails > 0.1
            else ""
        ),
        slow if falls else np.inf,
        passed,
        detail,
    )


def _fitted_power(
    widths: np.ndarray, value: np.ndarray, error: np.ndarray
) -> tuple[float, float]:
    """Exponent p and its error in D = A N^−p, A of either sign."""
    reduced = widths / widths[0]
    (_, power), covariance = curve_fit(
        lambda n, size, p: size * n**-p,
        reduced,
        value,
        p0=(value[0], 1.0),
        sigma=error,
        absolute_sigma=True,
    )
    return float(power), float(np.sqrt(covariance[1, 1]))


def with_error(value: float, error: float) -> str:
    """0.30(1): the error in units of the last digit shown."""
    if not (np.isfinite(value) and np.isfinite(error)) or error <= 0:
        return f"{value:.4g}"
    digits = max(0, -int(np.floor(np.log10(error))))
    return f"{value:.{digits}f}({round(error * 10**digits)})"
