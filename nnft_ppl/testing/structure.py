"""Checks without statistics: what the prior and the forward pass are and return.

In: a network and inputs. Out: `CheckResult`s. These come first, because nothing can be
sampled from a plugin that fails them.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Params, Points
from nnft_ppl.ensemble.model import check_prior, network_keys, sample_prior
from nnft_ppl.testing.result import CheckResult, close, exact, plugin_code
from nnft_ppl.testing.sampling import Sample

_JIT_TOLERANCE = 1e-4
"""Relative to the largest output; float32 sums in another order."""


def check_structure(
    network: Network, points: Points, key: Key
) -> Iterator[CheckResult]:
    """Prior, shapes, precision, in the order in which they can fail."""
    with jax.enable_x64(False):
        yield from _check_prior(network, key)
        yield from _check_apply(network, points, key, np.dtype(np.float32))
    with jax.enable_x64(True):
        yield _check_dtype(network, points, key, np.dtype(np.float64))
    if network.readout() is not None:
        with jax.enable_x64(False):
            yield _check_features(network, points, key)


def _check_prior(network: Network, key: Key) -> Iterator[CheckResult]:
    with plugin_code(network, "prior"):
        check_prior(network)
        trace = handlers.trace(handlers.seed(network.prior, key)).get_trace()
        first, again = sample_prior(network, key), sample_prior(network, key)
        other = sample_prior(network, jax.random.fold_in(key, 1))
    sites = [name for name, site in trace.items() if site["type"] == "sample"]
    observed = [name for name in sites if trace[name]["is_observed"]]
    yield exact(
        "prior-sites",
        f"{len(sites)} sample sites, {len(observed)} observed",
        f"{max(len(sites), 1)} sample sites, 0 observed",
        "the prior samples with numpyro.sample, and conditions on nothing",
    )
    slashes = [name for name in trace if "/" in name]
    yield exact(
        "prior-site-names",
        f"names with '/': {slashes}",
        "names with '/': []",
        "'/' separates groups in saved files; use another divider",
    )
    yield exact(
        "prior-same-key",
        "equal" if _equal(first, again) else "different",
        "equal",
        "the same key must give the same parameters",
    )
    yield exact(
        "prior-other-key",
        "equal" if _equal(first, other) else "different",
        "different",
        "another key must give other parameters: draw with numpyro.sample alone",
    )


def _equal(a: Params, b: Params) -> bool:
    left, right = jax.tree.leaves_with_path(a), jax.tree.leaves_with_path(b)
    return [path for path, _ in left] == [path for path, _ in right] and all(
        np.array_equal(u, v) for (_, u), (_, v) in zip(left, right, strict=True)
    )


def _check_apply(
    network: Network, points: Points, key: Key, dtype: np.dtype[Any]
) -> Iterator[CheckResult]:
    hp = network.hyperparameters
    with plugin_code(network, "apply"):
        params = sample_prior(network, key)
        one = network.architecture.apply(
            hp, params, jnp.asarray(points[0].reshape(hp.input_shape), dtype)
        )
        all_points = network.apply(params, jnp.asarray(points, dtype))
    yield exact(
        "apply-shape",
        jnp.shape(one),
        (hp.output_dim,),
        f"apply takes one input of shape {hp.input_shape} and returns (output_dim,)",
    )
    yield exact(
        "apply-shape-batch", jnp.shape(all_points), (len(points), hp.output_dim)
    )
    yield _check_dtype(network, points, key, dtype)
    bad = np.flatnonzero(~np.isfinite(np.asarray(all_points)).all(axis=1))
    where = f"input {points[bad[0]].tolist()}" if bad.size else "every input"
    yield exact(
        "apply-finite",
        f"{'not finite' if bad.size else 'finite'} at {where}",
        f"finite at {where}",
    )


def _check_dtype(
    network: Network, points: Points, key: Key, dtype: np.dtype[Any]
) -> CheckResult:
    precision = "x64" if dtype == np.float64 else "default"
    with plugin_code(network, f"apply-dtype-{precision}"):
        out = network.apply(sample_prior(network, key), jnp.asarray(points, dtype))
    return exact(
        f"apply-dtype-{precision}",
        out.dtype,
        dtype,
        f"under {precision} precision; fix no dtype in the prior or in apply",
    )


def check_transformations(
    network: Network, points: Points, sample: Sample, key: Key
) -> CheckResult:
    """The compiled, vectorised program of `sample` against plain calls one by one."""
    with plugin_code(network, "jit-vmap"), jax.enable_x64(False):
        x = jnp.asarray(points, jnp.float32)
        plain = [
            [
                network.architecture.apply(
                    network.hyperparameters,
                    params,
                    point.reshape(network.hyperparameters.input_shape),
                )
                for point in x
            ]
            for params in (
                sample_prior(network, k) for k in network_keys(key, jnp.uint32(0), 3)
            )
        ]
    return close(
        "jit-vmap",
        sample.values[:3],
        np.asarray(plain),
        _JIT_TOLERANCE,
        "compiled and plain calls disagree: is there state outside the parameters?",
    )


def _check_features(network: Network, points: Points, key: Key) -> CheckResult:
    readout = network.readout()
    assert readout is not None
    with plugin_code(network, "readout-features"):
        params = sample_prior(network, key)
        shapes = {
            jnp.shape(readout.features(params, jnp.asarray(p, jnp.float32)))
            for p in points
        }
    vector = len(shapes) == 1 and len(next(iter(shapes))) == 1
    return exact(
        "readout-features",
        "one vector" if vector else f"shapes {sorted(shapes)}",
        "one vector",
        "features takes one input and returns (feature,)",
    )
