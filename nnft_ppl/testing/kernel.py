"""Checks of the closed forms that a plugin declares: kernel and its symmetries.

In: a network and inputs. Out: `CheckResult`s, all in float64 and without sampling.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.testing.result import CheckResult, close, exact, plugin_code

_TOLERANCE = 1e-9
"""Relative to the largest entry: float64 with a few digits lost."""


def check_kernel(network: Network, points: Points) -> Iterator[CheckResult]:
    """Precision, finiteness, symmetry, positivity, declared symmetries."""
    if not network.has_kernel:
        return
    with plugin_code(network, "kernel"):
        with jax.enable_x64(True):
            x = jnp.asarray(points)
            one = network.pair_kernel()(x[0], x[-1])
            errors = network.kernel_error(points)
        # More points than the suggested ones: opposite, and far out.
        probe = np.concatenate([points, -points[:2] - 0.1, 3.0 * points[-2:] + 0.2])
        kernel = network.kernel(probe)
    yield exact("kernel-shape", jnp.shape(one), (), "one number for one pair of inputs")
    yield exact("kernel-dtype", one.dtype, jnp.dtype(jnp.float64), "under x64")
    finite = np.isfinite(kernel).all()
    yield exact("kernel-finite", "finite" if finite else "not finite", "finite")
    if not finite:
        return
    yield close(
        "kernel-symmetric", kernel, kernel.T, _TOLERANCE, "K(x,y) and K(y,x) differ"
    )
    if network.architecture.kernel_error is not None:
        sound = bool((np.isfinite(errors) & (errors >= 0)).all())
        yield exact(
            "kernel-error",
            "finite and ≥ 0" if sound else f"{errors.min()} to {errors.max()}",
            "finite and ≥ 0",
        )
    eigenvalues = np.linalg.eigvalsh((kernel + kernel.T) / 2)
    lowest = float(eigenvalues[0] / max(eigenvalues[-1], 1e-300))
    passed = lowest >= -_TOLERANCE
    yield CheckResult(
        "kernel-positive",
        lowest,
        max(lowest, 0.0),
        0.0 if passed else np.inf,
        passed,
        ""
        if passed
        else "lowest eigenvalue over the highest; a covariance has none < 0",
    )
    for symmetry in ("translation", "rotation"):
        if symmetry in network.architecture.symmetries:
            yield close(
                f"symmetry-{symmetry}",
                network.kernel(transformed(probe, symmetry)),
                kernel,
                _TOLERANCE,
                f"the kernel changes under a {symmetry}, a symmetry it declares",
            )


def transformed(points: Points, symmetry: str) -> Points:
    """The inputs moved by one element of the symmetry's group."""
    dim = points.shape[1]
    generator = np.random.default_rng(20)
    if symmetry == "translation":
        return points + generator.uniform(0.3, 0.7, size=dim)
    orthogonal, _ = np.linalg.qr(generator.normal(size=(dim, dim)))
    if dim == 1:
        orthogonal = -np.ones((1, 1))  # the one rotation of the line besides none
    return points @ orthogonal.T
