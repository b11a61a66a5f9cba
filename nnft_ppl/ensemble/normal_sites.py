"""Normal sites of a prior, recognised in its trace and filled from the fused generator.

Most parameters of most networks are normal. Such sites get loc + scale·ε with ε from
`ensemble.generator`; every other site is sampled as NumPyro samples it, with the key
that it would have if there were no normal site.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.primitives import Messenger

from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Params
from nnft_ppl.ensemble.device_sizes import DeviceSizes
from nnft_ppl.ensemble.generator import Words, free_normal_pairs, normal_pairs


class NormalSite(NamedTuple):
    """A site of independent normal numbers.

    Attributes:
        name: The site's.
        shape: Of its value.
        first_element: Its first element in the counter of `normal_pairs`.
    """

    name: str
    shape: tuple[int, ...]
    first_element: int

    @property
    def num_pairs(self) -> int:
        """Elements it takes."""
        return -(-math.prod(self.shape) // 2)


def plugin_prior(network: Network) -> Callable[[], Params]:
    """The prior as the plugin gives it: `Network.prior` is for models of users.

    There a normal parameter of standard deviation 0 is no sample site. Here it keeps
    its place among the random numbers, so that those of others do not depend on it.
    """
    return partial(network.architecture.prior, network.hyperparameters)


@lru_cache(maxsize=64)
def trace_normal_sites(network: Network) -> tuple[NormalSite, ...]:
    """The normal sites of the prior, in its order; nothing is computed."""
    prior = plugin_prior(network)
    sites: list[NormalSite] = []

    def record(key: jax.Array) -> None:
        trace = handlers.trace(handlers.seed(prior, key)).get_trace()
        for name, message in trace.items():
            if _is_open_normal(message):
                first = sites[-1].first_element + sites[-1].num_pairs if sites else 0
                sites.append(NormalSite(name, message["value"].shape, first))

    jax.eval_shape(record, seed_key(0))
    return tuple(sites)


def site_normals(
    stream: tuple[Words, Words],
    networks: jax.Array,
    site: NormalSite,
    sizes: DeviceSizes,
    *,
    rounds: int,
) -> jax.Array:
    """Standard normal numbers of a site, (network, *shape), float32.

    Args:
        stream: From `stream_words`.
        networks: Their numbers in the stream, uint32, one axis.
        site: From `trace_normal_sites`.
        sizes: Of the device.
        rounds: Of the cipher, from `ROUNDS`.
    """
    elements = site.first_element + jnp.arange(site.num_pairs, dtype=jnp.uint32)
    if sizes.fuses:
        # One kernel of two results; fused with its users it would be drawn twice.
        pairs = jax.lax.optimization_barrier(
            free_normal_pairs(stream, networks[:, None], elements[None], rounds=rounds)
        )
    else:
        pairs = normal_pairs(stream, networks[:, None], elements[None], rounds=rounds)
    flat = jnp.concatenate(pairs, axis=1)[:, : math.prod(site.shape)]
    return flat.reshape(len(networks), *site.shape)


class FillNormals(Messenger):  # type: ignore[misc]
    """Give the sites named in `normals` their value, loc + scale·ε.

    Args:
        fn: The prior.
        normals: Site -> ε, of the shape of its value.
    """

    def __init__(
        self, fn: Callable[[], Params], normals: Mapping[str, jax.Array]
    ) -> None:
        """Around the prior."""
        self.normals = normals
        super().__init__(fn)

    def process_message(self, msg: dict[str, Any]) -> None:
        """Before a seed handler outside sees the site, so that it takes no key.

        Handlers inside the prior come first: what they gave a value or a key keeps it.
        """
        if (
            msg["type"] == "sample"
            and msg["name"] in self.normals
            and msg["value"] is None
            and msg["kwargs"]["rng_key"] is None
        ):
            normal, noise = _base(msg["fn"]), self.normals[msg["name"]]
            scale = jnp.broadcast_to(normal.scale, noise.shape)
            msg["value"] = jnp.broadcast_to(normal.loc, noise.shape) + scale * noise


def _is_open_normal(message: Mapping[str, Any]) -> bool:
    """Whether a traced site is normal and was drawn."""
    return (
        message["type"] == "sample"
        and message["kwargs"]["rng_key"] is not None  # else its value was given
        and type(_base(message["fn"])) is dist.Normal
    )


def _base(distribution: Any) -> Any:
    """What was expanded or declared an event; these change no number."""
    while type(distribution) in (dist.ExpandedDistribution, dist.Independent):
        distribution = distribution.base_dist
    return distribution
