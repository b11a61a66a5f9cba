"""Checks by sampling: what the plugin declares against what its networks do.

In: a network, inputs, draws. Out: `CheckResult`s, each the worst of its comparisons.
"""

from collections.abc import Iterator

import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Matrix, Points
from nnft_ppl.testing.kernel import transformed
from nnft_ppl.testing.limit import Sweep
from nnft_ppl.testing.readout import width_hint
from nnft_ppl.testing.result import CheckResult, mean_and_error, within_errors
from nnft_ppl.testing.sampling import Sample, draw

_NARROWEST = 8
"""Widths below it take no part in an expansion in 1/N."""
_MAX_SHIFT = 0.5
"""Largest 1/N correction, in units of the kernel, that is taken for one."""
_ENTRY = "at inputs {} and {}"


def check_two_point(
    network: Network, points: Points, sample: Sample, sweep: Sweep
) -> Iterator[CheckResult]:
    """The kernel against draws, at infinite width where it holds there alone."""
    if not network.has_kernel:
        return
    kernel = network.kernel(points)
    known = network.kernel_error(points)
    deviation = np.sqrt(np.diag(kernel))
    scale = np.outer(deviation, deviation)
    mean, error = mean_and_error(sample.two_point)
    row = within_errors(
        "kernel-two-point",
        mean,
        kernel,
        np.hypot(error, known),
        scale=scale,
        where=_ENTRY,
    )
    if not row.passed and sweep.samples and not network.kernel_holds_at_every_width:
        widest = sweep.samples[max(sweep.samples)].two_point.mean(axis=0)
        if (np.abs(widest - mean) > _MAX_SHIFT * scale).any():
            # No correction to a finite limit, so that there is nothing to extrapolate.
            yield row.explained(_hint(row, mean, kernel, network))
            return
        limit, error = _extrapolated(sweep, network.width, sample)
        row = within_errors(
            "kernel-two-point",
            limit,
            kernel,
            np.hypot(error, known),
            scale=scale,
            where=_ENTRY + ", extrapolated to infinite width",
        )
    yield row if row.passed else row.explained(_hint(row, mean, kernel, network))


def _extrapolated(sweep: Sweep, width: int, sample: Sample) -> tuple[Matrix, Matrix]:
    """The 2-pt function at 1/N = 0 from several widths, and its error.

    A parabola in 1/N by least squares; its quadratic term at the largest width is
    taken for the size of what it leaves out.
    """
    measured = {width: sample} | {
        w: s for w, s in sweep.samples.items() if w >= _NARROWEST
    }
    means, errors = zip(
        *(mean_and_error(s.two_point) for s in measured.values()), strict=True
    )
    inverse = 1 / np.array(list(measured))
    design = inverse[:, None] ** np.arange(min(3, len(inverse)))
    weights = 1 / np.maximum(np.array(errors), 1e-300)
    weighted = design[:, None, None, :] * weights[..., None]
    solve = np.linalg.pinv(np.moveaxis(weighted, 0, 2))  # (point, point, term, width)
    terms = np.einsum("ijtw,wij->tij", solve, np.array(means) * weights)
    variance = np.einsum("ijw,ijw->ij", solve[:, :, 0], solve[:, :, 0])
    left_out = terms[-1] * inverse.min() ** (len(terms) - 1) if len(terms) > 1 else 0.0
    return terms[0], np.hypot(np.sqrt(variance), left_out)


def _hint(row: CheckResult, mean: Matrix, kernel: Matrix, network: Network) -> str:
    """What the relation of measured to expected suggests."""
    measured, expected = float(row.measured), float(row.expected)
    ratio = measured / expected if expected else np.inf
    hint = f"measured over expected is {ratio:.4g}"
    raw = float(np.mean(np.diag(mean)) / max(np.mean(np.diag(kernel)), 1e-300))
    by_width = width_hint(raw, network.width)
    if by_width:
        return hint + by_width
    bias = network.hyperparameters.bias_std**2
    gap = kernel - mean
    if bias > 0 and np.allclose(np.abs(gap), bias, rtol=0.25):
        sign = "more" if gap.flat[0] > 0 else "less"
        return hint + f"; the kernel is {sign} by bias_std² = {bias:.4g} everywhere"
    return hint


def check_sign(network: Network, sample: Sample) -> Iterator[CheckResult]:
    """Odd moments vanish; tails are tamed by the size of the draw, itself even in f."""
    if "sign" not in network.architecture.symmetries:
        return
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
            where="at input {}, output {}; of f over its size in the draw, which the "
            "declared sign symmetry makes vanish",
        )


def check_symmetries(
    network: Network, points: Points, num_draws: int, key: Key
) -> Iterator[CheckResult]:
    """Without a kernel, the 2-pt function at moved inputs on the same networks."""
    if network.has_kernel:
        return
    for symmetry in ("translation", "rotation"):
        if symmetry in network.architecture.symmetries:
            moved = np.concatenate([points, transformed(points, symmetry)])
            products = draw(network, moved, num_draws, key).two_point
            count = len(points)
            mean, error = mean_and_error(
                products[:, count:, count:] - products[:, :count, :count]
            )
            yield within_errors(
                f"symmetry-{symmetry}",
                mean,
                0.0,
                error,
                scale=float(np.mean(np.einsum("dii->di", products))),
                where=_ENTRY + f"; change of the 2-pt function under a {symmetry}",
            )
