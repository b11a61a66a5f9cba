"""Checks without statistics: what the prior and the forward pass are and return.

In: a network and inputs. Out: `CheckResult`s. These come first, because nothing can be
sampled from a plugin that fails them.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Params, Points
from nnft_ppl.ensemble.model import check_prior, network_keys, sample_prior
from nnft_ppl.ensemble.not_finite import which_are_not_finite
from nnft_ppl.testing.parameters import check_parameters
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
        yield from check_parameters(network, key)
        yield from _check_apply(network, points, key)
        yield _check_dtype(network, key, "default")
    with jax.enable_x64(True):
        yield _check_dtype(network, key, "x64")
    if network.readout() is not None:
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


def _check_apply(network: Network, points: Points, key: Key) -> Iterator[CheckResult]:
    hp = network.hyperparameters
    x = jnp.asarray(points, jnp.float32)
    with plugin_code(network, "apply"):
        params = sample_prior(network, key)
        values = [
            network.architecture.apply(hp, params, point.reshape(hp.input_shape))
            for point in x
        ]
        together = jax.eval_shape(network.apply, params, x)
    yield exact(
        "apply-shape",
        jnp.shape(values[0]),
        (hp.output_dim,),
        f"apply takes one input of shape {hp.input_shape} and returns (output_dim,)",
    )
    yield exact("apply-shape-batch", together.shape, (len(points), hp.output_dim))
    finite = [bool(np.isfinite(np.asarray(value)).all()) for value in values]
    bad = [] if all(finite) else points[finite.index(False)].tolist()
    where = f"input {bad}" if bad else "every input"
    yield exact(
        "apply-finite",
        f"{'not finite' if bad else 'finite'} at {where}",
        f"finite at {where}",
    )


def _check_dtype(network: Network, key: Key, precision: str) -> CheckResult:
    """Precision of the outputs, without computing them."""
    x = jnp.zeros((1, network.hyperparameters.input_dim))
    with plugin_code(network, f"apply-dtype-{precision}"):
        out = jax.eval_shape(lambda k: network.apply(sample_prior(network, k), x), key)
    return exact(
        f"apply-dtype-{precision}",
        out.dtype,
        x.dtype,
        f"under {precision} precision; fix no dtype in the prior or in apply",
    )


def check_finite(sample: Sample) -> CheckResult:
    """Every sampled network gives numbers, not the one of `check_structure` alone."""
    bad = which_are_not_finite(sample.values)
    first = f", the first network {np.argmax(bad)}" if bad.any() else ""
    of_all = f"of {len(bad)} sampled networks not finite"
    return exact(
        "sampled-finite",
        f"{np.count_nonzero(bad)} {of_all}{first}",
        f"0 {of_all}",
        "averages over networks are NaN with a single one",
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
    x = jnp.asarray(points[0])
    with plugin_code(network, "readout-features"):
        features = jax.eval_shape(
            lambda k: readout.features(sample_prior(network, k), x), key
        )
    vector = len(features.shape) == 1
    return exact(
        "readout-features",
        "one vector" if vector else f"shape {features.shape}",
        "one vector",
        "features takes one input and returns (feature,)",
    )
