"""Features of a random network whose products are its random kernel K̂.

Given the last hidden layer φ of a network with a normal linear readout, the field is
f = Φ v with standard normal v, where Φ holds σ_W φ_j/√F and, last, σ_b for the output
bias: K̂ = Φ Φᵀ (theory.md §3). All that is computed given the features starts from Φ.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
from jaxtyping import Float

from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Params
from nnft_ppl.ensemble.model import sample_prior


def check_gaussian_readout(network: Network) -> None:
    """Refuse a network that is no Gaussian process given its features.

    Raises:
        UnavailableError: Its last layer is not linear, or its weights not normal.
    """
    if network.gaussian_readout() is None:
        what, readout = "normal weights", network.readout()
        if readout is None:
            what = "a linear last layer"
        elif readout.has_normal_weights:
            what = "an output bias of mean zero"
        raise UnavailableError(
            f"architecture {network.name!r} has no Gaussian readout here (it lacks "
            f"{what}), so that the readout cannot be integrated out; sample all "
            "weights by NUTS instead, with net.prior() and net.apply in a NumPyro "
            "model: docs/numpyro.md"
        )


def kernel_features(
    network: Network, params: Params, points: jax.Array
) -> Float[jax.Array, "point feature"]:
    """Φ of one network, (point, F), or (point, F + 1) with an output bias.

    Args:
        network: With a Gaussian readout; its scales may be traced.
        params: Of one network; those of the readout do not matter.
        points: (point, input_dim), flat.
    """
    readout = network.gaussian_readout()
    assert readout is not None  # check_gaussian_readout has seen to it
    hidden = jax.vmap(partial(readout.features, params))(points)
    features: jax.Array = readout.weight_std / hidden.shape[1] ** 0.5 * hidden
    if isinstance(readout.bias_std, float) and readout.bias_std == 0:
        return features
    bias = jnp.broadcast_to(
        jnp.asarray(readout.bias_std, features.dtype), (len(points), 1)
    )
    return jnp.concatenate([features, bias], axis=1)


@lru_cache(maxsize=64)
def num_features(network: Network) -> int:
    """F, or F + 1 with an output bias."""
    points = jax.ShapeDtypeStruct((1, network.hyperparameters.input_dim), jnp.float32)
    with jax.enable_x64(False):
        shape = jax.eval_shape(
            lambda key, x: kernel_features(network, sample_prior(network, key), x),
            seed_key(0),
            points,
        )
    return int(shape.shape[1])
