"""Where the cumulants of the random kernel come from: known, or from drawn networks.

In: a network, data, noise. Out: an `Expansion`. Exact moments of one neuron where
neurons are independent, the recursion over layers of a deep net, else an average over
drawn networks, for any number of inputs.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Points
from nnft_ppl.bayes.data import Data
from nnft_ppl.bayes.device_programs import draw_features
from nnft_ppl.bayes.first_order import (
    Expansion,
    Moments,
    direction_terms,
    expand_known,
    gaussian_process,
    squared,
    total,
    unpacked,
)
from nnft_ppl.correlators.deep.recursion import random_kernel_of
from nnft_ppl.correlators.neuron.moments import neuron_moments
from nnft_ppl.correlators.symmetric import entries, num_entries, positions
from nnft_ppl.ensemble.blocks import chunk_size, device_mesh, stack_streams
from nnft_ppl.ensemble.device_sizes import sizes_of
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR

_MOST_ENTRIES = 4000
"""Of the covariance of the kernel's 4 legs: 16 inputs. More take long to integrate."""
_BLOCK = 256
"""Networks that are drawn together."""

type Square = Float[np.ndarray, "different different"]


def expand(
    network: Network, data: Data, noise: float, num_draws: int, key: Key
) -> Expansion:
    """The posterior to first order in 1/N by the best that is known of the network.

    Args:
        network: With a kernel and a Gaussian readout.
        data: Targets and inputs.
        noise: σ > 0.
        num_draws: Networks drawn, where they are.
        key: Network j is a function of (key, j), as in `posterior`.

    Raises:
        UnavailableError: The kernel is not known.
    """
    points = data.points.astype(np.float64)
    kernel = network.kernel(points)
    if num_entries(len(points), 4) <= _MOST_ENTRIES:
        for known in (_of_independent_neurons, _of_layers):
            try:
                source, shift, covariance = known(network, points)
            except UnavailableError:
                continue
            gaussian, added, spread = expand_known(
                kernel, shift, [covariance], data, noise
            )
            none = Moments(*(np.zeros_like(part) for part in gaussian))
            return Expansion(source, gaussian, total(added), none, spread)
    return _measured(network, kernel, data, noise, num_draws, key)


def _of_independent_neurons(
    network: Network, points: Points
) -> tuple[str, Square, np.ndarray]:
    """No shift, and C_(ab)(cd) = (σ_W⁴/N)(E[φ_aφ_bφ_cφ_d] − E[φ_aφ_b] E[φ_cφ_d]).

    Raises:
        UnavailableError: Neurons are not independent, or moments not known.

    Source: theory.md §2, §3.
    """
    neuron, readout = network.neuron(), network.gaussian_readout()
    if neuron is None or readout is None:
        raise UnavailableError("neurons are not independent and identical")
    moments, _ = neuron_moments(neuron, points, (2, 4))
    pairs = entries(len(points), 2)
    legs = np.concatenate(np.broadcast_arrays(pairs[:, None], pairs[None]), axis=-1)
    quads = positions(len(points), legs)
    covariance = moments[4][quads] - np.outer(moments[2], moments[2])
    scale = readout.weight_std**4 / network.width
    return "exact", np.zeros((len(points),) * 2), scale * covariance


def _of_layers(network: Network, points: Points) -> tuple[str, Square, np.ndarray]:
    """Shift and covariance of a deep fully connected net, to first order.

    Raises:
        UnavailableError: As `recursion_correlators`.
    """
    found = random_kernel_of(network, points)
    return "recursion", unpacked(found.shift[0], len(points)), found.covariance[0]


def _measured(
    network: Network,
    kernel: Square,
    data: Data,
    noise: float,
    num_draws: int,
    key: Key,
) -> Expansion:
    """Terms along K̂ − K of every network, averaged: E of these is m m + C ≈ C.

    The kernel of independent neurons has no shift, so that slopes are left out of it:
    they average to 0 and would only add noise.
    """
    points = jnp.asarray(data.points)
    devices = tuple(jax.local_devices()[:1])
    sizes = sizes_of(devices[0])
    chunk = min(chunk_size(network, len(data.points), sizes), _BLOCK)
    shifts = not network.kernel_holds_at_every_width
    sums, squares, slope = [], [], 0.0
    with jax.enable_x64(True):
        where = (data.rows, data.new_rows, jnp.asarray(data.y), noise)
        gaussian = jax.device_get(gaussian_process(jnp.asarray(kernel), *where))
    for start in range(0, num_draws, _BLOCK):
        count = min(_BLOCK, num_draws - start)
        features = draw_features(
            stack_streams(key, [0])[0],
            np.arange(start, start + _BLOCK, dtype=np.uint32)[None],
            np.array([_BLOCK // chunk], np.uint32),
            (),
            points,
            device_mesh(devices),
            network,
            DEFAULT_GENERATOR,
            (),
            chunk,
            sizes,
        )
        wide = np.asarray(features[0, :count], np.float64)
        directions = wide @ wide.transpose(0, 2, 1) - kernel
        with jax.enable_x64(True):
            terms = jax.device_get(
                direction_terms(jnp.asarray(directions), jnp.asarray(kernel), *where)
            )
        parts = [terms.second, *([terms.first] if shifts else [])]
        each = total(parts)
        sums.append(Moments(*(part.sum(axis=0) for part in each)))
        squares.append(Moments(*(part.sum(axis=0) for part in squared(each))))
        slope += float(terms.squared_slope.sum())
    mean = Moments(*(part / num_draws for part in total(sums)))
    error = Moments(
        *(
            np.sqrt(np.maximum(square / num_draws - one**2, 0.0) / num_draws)
            for square, one in zip(total(squares), mean, strict=True)
        )
    )
    return Expansion("measured", gaussian, mean, error, slope / num_draws)
