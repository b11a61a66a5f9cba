"""Checks by sampling: what the plugin declares against what its networks do.

In: a network, inputs, a key. Out: `CheckResult`s, each the worst of its comparisons.
"""

from collections.abc import Iterator

import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Matrix, Points
from nnft_ppl.testing.kernel import transformed
from nnft_ppl.testing.result import (
    CheckResult,
    mean_and_error,
    within_errors,
)
from nnft_ppl.testing.sampling import Sample, draw

_WIDER = 4
_MAX_SHIFT = 0.5
"""Largest 1/N correction, in units of the kernel, that is taken for one."""
_ENTRY = "at inputs {} and {}"


def check_sampled(
    network: Network, points: Points, sample: Sample, key: Key
) -> Iterator[CheckResult]:
    """The kernel, the readout and the sign symmetry against draws from the prior."""
    if network.has_kernel:
        yield _check_two_point(network, points, sample, key)
    if sample.kernels is not None:
        yield from _check_readout(sample.values, sample.kernels)
    if "sign" in network.architecture.symmetries:
        yield from _check_sign(sample)
    if not network.has_kernel:
        for symmetry in ("translation", "rotation"):
            if symmetry in network.architecture.symmetries:
                yield _check_symmetry(
                    network, points, symmetry, len(sample.values), key
                )


def _two_point(sample: Sample) -> tuple[Matrix, Matrix]:
    """2-pt function and error; from K̂ when there is one, whose variance is less."""
    if sample.kernels is not None:
        return mean_and_error(sample.kernels)
    return mean_and_error(
        np.einsum("dio,djo->dij", sample.values, sample.values) / sample.values.shape[2]
    )


def _check_two_point(
    network: Network, points: Points, sample: Sample, key: Key
) -> CheckResult:
    kernel = network.kernel(points)
    deviation = np.sqrt(np.diag(kernel))
    scale = np.outer(deviation, deviation)
    mean, error = _two_point(sample)
    row = within_errors(
        "kernel-two-point", mean, kernel, error, scale=scale, where=_ENTRY
    )
    if not row.passed and network.neuron() is None:
        # Without i.i.d. neurons the kernel is that of infinite width: remove 1/N.
        wider = network.with_width(_WIDER * network.width)
        num_draws = max(2, len(sample.values) // _WIDER)
        wide, wide_error = _two_point(draw(wider, points, num_draws, key))
        shift = np.abs(wide - mean)
        if (shift > _MAX_SHIFT * scale).any():
            return _with_hint(row, network)  # no correction to a finite limit
        limit = (_WIDER * wide - mean) / (_WIDER - 1)
        limit_error = np.hypot(_WIDER * wide_error, error) / (_WIDER - 1)
        remainder = shift**2 / np.maximum(scale, 1e-300)
        row = within_errors(
            "kernel-two-point",
            limit,
            kernel,
            np.hypot(limit_error, remainder),
            scale=scale,
            where=_ENTRY + ", extrapolated to infinite width",
        )
    return row if row.passed else _with_hint(row, network)


def _with_hint(row: CheckResult, network: Network) -> CheckResult:
    """Add what the ratio of measured to expected suggests."""
    measured, expected = float(row.measured), float(row.expected)
    ratio = measured / expected if expected else np.inf
    hint = f"measured over expected is {ratio:.4g}"
    if network.width > 1 and (
        np.isclose(ratio, network.width, rtol=0.2)
        or np.isclose(ratio * network.width, 1, rtol=0.2)
    ):
        hint += f", about the width {network.width} or its inverse: is a 1/√N missing?"
    return CheckResult(
        row.check,
        row.measured,
        row.expected,
        row.standard_errors,
        row.passed,
        f"{row.detail}; {hint}",
    )


def _check_readout(values: np.ndarray, kernels: np.ndarray) -> Iterator[CheckResult]:
    """Given the features f/√K̂ is standard normal: all its moments are bounded."""
    std = np.sqrt(np.einsum("dii->di", kernels))
    silent = std == 0  # every feature is 0 and there is no bias: so must be f
    unit = np.where(silent, 1.0, std)
    field = values / unit[..., None]
    correlation = kernels / (unit[:, :, None] * unit[:, None, :])
    excess = np.einsum("dio,djo->dijo", field, field) - correlation[..., None]
    mean, error = mean_and_error(excess)
    yield within_errors(
        "readout-two-point",
        1 + mean,
        1.0,
        error,
        scale=1.0,
        where=_ENTRY + ", output {}; 1 + mean of f f' − K̂, in units of K̂",
    )
    mean, error = mean_and_error(field)
    yield within_errors(
        "readout-mean",
        mean,
        0.0,
        error,
        scale=1.0,
        where="at input {}, output {}; mean of f in units of √K̂",
    )
    mean, error = mean_and_error(np.where(silent[..., None], 3.0, field**4))
    yield within_errors(
        "readout-gaussian",
        mean,
        3.0,
        error,
        scale=3.0,
        where="at input {}, output {}; 4th moment of f given the features",
    )
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


def _check_sign(sample: Sample) -> Iterator[CheckResult]:
    """Odd moments vanish; tails are tamed by the kernel, itself even in f."""
    values = sample.values
    size = np.sqrt(np.mean(values**2, axis=(1, 2), keepdims=True))
    # The size of each draw is even under f → −f, so that weighting by it is allowed.
    size = np.where(size == 0, 1.0, size)
    for order, name in ((1, "mean"), (3, "third-moment")):
        mean, error = mean_and_error((values / size) ** order)
        yield within_errors(
            f"symmetry-sign-{name}",
            mean,
            0.0,
            error,
            scale=1.0,
            where="at input {}, output {}; of f over its size in the draw",
        )


def _check_symmetry(
    network: Network, points: Points, symmetry: str, num_draws: int, key: Key
) -> CheckResult:
    """The 2-pt function at moved inputs, on the same networks."""
    moved = np.concatenate([points, transformed(points, symmetry)])
    values = draw(network, moved, num_draws, key).values
    here, there = values[:, : len(points)], values[:, len(points) :]
    difference = np.einsum("dio,djo->dij", there, there) - np.einsum(
        "dio,djo->dij", here, here
    )
    mean, error = mean_and_error(difference)
    size = float(np.mean(values**2))
    return within_errors(
        f"symmetry-{symmetry}",
        mean,
        0.0,
        error,
        scale=size,
        where=_ENTRY + f"; change of the 2-pt function under a {symmetry}",
    )
