"""Checks of a declared linear last layer: its scales, its bias, the law of its weights.

In: a network and draws with their random kernels. Out: `CheckResult`s.
"""

from collections.abc import Iterator

import numpy as np

from nnft_ppl._network import Network
from nnft_ppl.architecture import Readout
from nnft_ppl.correlators.symmetric import positions
from nnft_ppl.testing.result import (
    CheckResult,
    exact,
    mean_and_error,
    not_compared,
    plugin_code,
    within_errors,
)
from nnft_ppl.testing.sampling import QUARTIC_POINTS, Sample

_ENTRY = "at inputs {} and {}"


def weight_moment(readout: Readout, order: int) -> float:
    """The standardised moment of an output weight, of a normal one if none is given."""
    if readout.weight_moment is not None:
        return float(readout.weight_moment(order))
    return float(np.prod(range(1, order, 2)))


def check_readout(network: Network, sample: Sample) -> Iterator[CheckResult]:
    """Given the features, f has the mean, covariance and 4th moment declared."""
    readout = network.readout()
    if readout is None or sample.kernels is None or sample.quartics is None:
        return
    if not readout.is_symmetric:
        yield not_compared(
            "readout-mean", "f and −f are not alike, and the features alone do not tell"
        )
        return
    values, kernels = sample.values, sample.kernels
    std = np.sqrt(np.einsum("dii->di", kernels))
    silent = std == 0  # every feature is 0 and there is no bias: so must be f
    unit = np.where(silent, 1.0, std)
    field = values / unit[..., None]
    if not readout.is_gaussian:
        with plugin_code(network, "readout-weight-moments"):
            yield _check_moments(readout)
    if not np.isfinite(weight_moment(readout, 2)):
        yield not_compared(
            "readout-mean", "the weights have no variance, so f no error"
        )
        return
    mean, error = mean_and_error(field)
    yield within_errors(
        "readout-mean",
        mean,
        0.0,
        error,
        scale=1.0,
        where="at input {}, output {}; mean of f in units of √K̂",
    )
    fourth = weight_moment(readout, 4)
    if not np.isfinite(fourth):
        yield not_compared(
            "readout-two-point", "the weights have no 4th moment, so f f' no error"
        )
        return
    correlation = kernels / (unit[:, :, None] * unit[:, None, :])
    excess = np.einsum("dio,djo->dijo", field, field) - correlation[..., None]
    mean, error = mean_and_error(excess)
    row = within_errors(
        "readout-two-point",
        1 + mean,
        1.0,
        error,
        scale=1.0,
        where=_ENTRY + ", output {}; 1 + mean of f f' − K̂, in units of K̂",
    )
    yield row if row.passed else row.explained(_scale_hint(network, 1 + mean))
    yield _check_fourth_moment(readout, sample, field, silent, fourth)
    if values.shape[2] > 1:
        mean, error = mean_and_error(field[:, :, :1] * field[:, :, 1:])
        yield within_errors(
            "readout-outputs-independent",
            mean,
            0.0,
            error,
            scale=1.0,
            where="at input {}, output 0 with the one {} after the next",
        )


def _scale_hint(network: Network, ratios: np.ndarray) -> str:
    """What the ratio of the output's variance to the declared one suggests."""
    ratio = float(np.mean(np.einsum("iio->io", ratios)))
    hint = (
        f"the variance of f is {ratio:.4g} times the declared one; expected are "
        "weights of variance weight_std²/F, a bias of variance bias_std²"
    )
    return hint + width_hint(ratio, network.width)


def width_hint(ratio: float, width: int) -> str:
    """Says so where a ratio is about the width or its inverse."""
    if width > 1 and np.isclose(ratio, width, rtol=0.25):
        return f"; about the width {width}: is a 1/√N missing?"
    if width > 1 and np.isclose(ratio * width, 1, rtol=0.25):
        return f"; about 1/{width}, one over the width: is a 1/√N applied twice?"
    return ""


def _check_moments(readout: Readout) -> CheckResult:
    """E a² = 1, or infinite, and each moment at least what the lower ones allow."""
    second, fourth, sixth = (weight_moment(readout, k) for k in (2, 4, 6))
    possible = (
        (second == 1 and fourth >= 1 - 1e-9) or second == fourth == np.inf
    ) and sixth >= fourth**1.5 * (1 - 1e-9)
    return exact(
        "readout-weight-moments",
        "possible" if possible else f"{second}, {fourth}, {sixth} at k = 2, 4, 6",
        "possible",
        "weight_moment(k) is E[a^k]/E[a²]^{k/2}: 1 at k = 2, or infinite, and growing",
    )


def _check_fourth_moment(
    readout: Readout,
    sample: Sample,
    field: np.ndarray,
    silent: np.ndarray,
    fourth: float,
) -> CheckResult:
    """E[f⁴ | features] = 3 K̂² + (m4 − 3)(σ²/F)² Σ φ⁴, in units of K̂²."""
    name = "readout-gaussian" if readout.is_gaussian else "readout-fourth-moment"
    if not np.isfinite(weight_moment(readout, 8)):
        return not_compared(name, "the weights have no 8th moment, so f⁴ no error")
    assert sample.kernels is not None
    assert sample.quartics is not None
    num_points = min(QUARTIC_POINTS, field.shape[1])
    diagonal = positions(num_points, np.arange(num_points)[:, None].repeat(4, axis=1))
    variance = np.einsum("dii->di", sample.kernels)[:, :num_points]
    field, silent = field[:, :num_points], silent[:, :num_points]
    excess = sample.quartics[:, diagonal] / np.where(silent, 1.0, variance) ** 2
    expected = 3 + (fourth - 3) * np.where(silent, 0.0, excess)
    gap = np.where(silent[..., None], 0.0, field**4 - expected[..., None])
    mean, error = mean_and_error(gap)
    middle = expected.mean(axis=0)[:, None]
    return within_errors(
        name,
        middle + mean,
        np.broadcast_to(middle, mean.shape),
        error,
        scale=middle,
        where="at input {}, output {}; 4th moment of f given the features, in units "
        "of K̂²; is weight_moment that of the weights drawn?",
    )
