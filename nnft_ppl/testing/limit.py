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

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._numbers import with_error
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
_LEAST_CONTRAST = 1e-4
"""Of f(x) − f(y) beside f; below it rounding is a part of the difference."""
_CURVATURE = 2.0
"""Lag behind the power 1 that heavy tails give to D, over the log of its shape."""
_SLOWEST = 0.2
"""The smallest power of 1/N that is taken for an approach."""
_CLEAR = 0.75
"""A power that no ensemble without a limit can have by chance."""


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
        contrast: The same of f(x) − f(y), in which an output bias drops out; `None`
            where f hardly varies with the input.
    """

    value: float
    error: float
    shape: float
    size: float
    contrast: float | None


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
        widths = (max(2, base // 4), max(4, base), 8 * max(4, base))
    samples: dict[int, Sample] = {}
    for width, part in zip(widths, jax.random.split(key, len(widths)), strict=True):
        if width == network.width and conditional:
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
    contrast = _contrast(sample)
    return _Distance(value, error, max(shape, 1e-3), float(size.mean()), contrast)


def _contrast(sample: Sample) -> float | None:
    """Logarithm of the size of f(x) − f(y) less its median, over neighbouring inputs.

    Like that of f itself, which may have a mean that grows with the width.
    """
    if sample.values.shape[1] < 2:
        return None

    def size(field: np.ndarray) -> np.ndarray:
        return np.asarray(
            np.median(np.abs(field - np.median(field, axis=0)), axis=0), np.float64
        )

    change, whole = size(np.diff(sample.values, axis=1)), size(sample.values)
    if (change <= _LEAST_CONTRAST * whole[1:]).any():
        return None
    return float(np.log(change).mean())


def _check_size(
    widths: np.ndarray, distances: list[_Distance], network: Network
) -> CheckResult:
    """The size of f is no power of the width, nor is that of its differences."""
    sizes = {"f": [d.size for d in distances]}
    contrasts = [d.contrast for d in distances if d.contrast is not None]
    if len(contrasts) == len(distances):
        sizes["f(x) − f(y)"] = contrasts
    last = np.log(widths[-1] / widths[-2])
    drifts = {of: float((size[-1] - size[-2]) / last) for of, size in sizes.items()}
    of, drift = max(drifts.items(), key=lambda item: abs(item[1]))
    passed = abs(drift) <= _MAX_DRIFT or network.no_gp_limit is not None
    hint = (
        ""
        if passed
        else (
            f"the size of {of} goes as N^{drift:.2f} up to N = {widths[-1]}: is a 1/√N "
            f"{'missing' if drift > 0 else 'applied twice'}?"
        )
    )
    return CheckResult(
        "output-size", drift, 0.0, 0.0 if passed else np.inf, passed, hint
    )


def _check_approach(
    widths: np.ndarray, distances: list[_Distance], network: Network, conditional: bool
) -> CheckResult:
    """D falls as 1/N between the last two widths, or slower where tails explain it."""
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
        return CheckResult(
            check, "Gaussian within errors", "-", 0.0, True, f"{series}; nothing to see"
        )
    # The end of the sweep is nearest to the limit; the first width is for people.
    tails = _CURVATURE * float(np.mean(np.log([d.shape for d in distances[-2:]])))
    readout = network.readout()
    if readout is not None and not np.isfinite(weight_moment(readout, 4)):
        tails = np.inf  # slower than 1/N, by how much depends on the law
    slowest = float(np.clip(1 - max(tails, 0.0), _SLOWEST, 1.0))
    factor = float(widths[-2] / widths[-1]) ** slowest
    spread = float(np.hypot(error[-1], factor * error[-2]))
    behind = max(0.0, float(np.abs(value[-1]) - factor * np.abs(value[-2]))) / spread
    power = _power(widths[-2:], value[-2:], error[-2:])
    if reason is not None:
        # Only a fall that is as good as that of 1/N contradicts the declaration.
        factor = float(widths[-2] / widths[-1]) ** _CLEAR
        spread = float(np.hypot(error[-1], factor * error[-2]))
        ahead = (factor * np.abs(value[-2]) - np.abs(value[-1])) / spread
        passed = bool(ahead <= MAX_STANDARD_ERRORS)
        return CheckResult(
            check,
            power,
            "no fall as 1/N",
            0.0 if passed else np.inf,
            passed,
            series + ("" if passed else f"; the plugin declares no limit: {reason}"),
        )
    passed = behind <= MAX_STANDARD_ERRORS
    cause = (
        "K̂ does not concentrate as the width grows: is a parameter or a scale shared "
        "by all hidden units?"
        if conditional
        else "is a parameter or a scale shared by all hidden units, or a prior without "
        "a variance?"
    )
    missing = f"no GP limit: {series}; {cause} Declare `no_gp_limit` where it is meant"
    return CheckResult(
        check,
        power,
        "N^-1" if slowest > 0.9 else f"N^-1, or N^-{slowest:.2f} for its tails",
        behind,
        passed,
        series if passed else missing,
    )


def _power(widths: np.ndarray, value: np.ndarray, error: np.ndarray) -> str:
    """N^−p between two widths, with its error, for people."""
    if (np.abs(value) <= 2 * error).any() or np.prod(value) <= 0:
        return "power not resolved"
    span = float(np.log(widths[1] / widths[0]))
    power = float(np.log(value[1] / value[0])) / span
    return f"N^({with_error(power, float(np.linalg.norm(error / value)) / span)})"
