"""Parameters in units of their prior: θ = μ + σω, with ω of variance 1.

In: a network's prior. Out: the ω of network j, the same network that `sample_ensemble`
draws, and the network as a function of ω. Gradients by ω are those of the NTK
parametrisation. A normal site has its own μ and σ, which may depend on other sites. Any
other site of finite variance is θ = σω with a fixed σ: its law is that of the start,
and training moves it along the whole line.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from nnft_ppl._compile import shared
from nnft_ppl._errors import UnavailableError
from nnft_ppl._host import default_device
from nnft_ppl._network import Network
from nnft_ppl._parameters import standard_deviations, unused_arguments
from nnft_ppl._seed import seed_key
from nnft_ppl._tangent_kernel import standard_rate
from nnft_ppl._typing import Params
from nnft_ppl.ensemble.device_sizes import DeviceSizes, sizes_of
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR, ROUNDS
from nnft_ppl.ensemble.model import (
    Stream,
    numbered_keys,
    stream_at,
)
from nnft_ppl.ensemble.normal_sites import (
    FillNormals,
    plugin_prior,
    site_normals,
    trace_normal_sites,
)

type Standardised = dict[str, jax.Array]
"""Site -> ω of one network, of the site's shape."""


@dataclass(frozen=True, eq=False)
class Sites:
    """The sites of a prior.

    Attributes:
        network: Whose.
        others: Site -> σ of those that are not normal, 1 where there is none.
        deviations: Site -> σ of all of them, NaN where it depends on other sites.
        unscaled: Those without a finite σ > 0 of their own, which cannot be trained.
    """

    network: Network
    others: Mapping[str, np.ndarray]
    deviations: Mapping[str, np.ndarray]
    unscaled: frozenset[str]

    @property
    def names(self) -> tuple[str, ...]:
        """Of all sites."""
        return tuple(self.deviations)

    def draw(
        self, stream: Stream, numbers: jax.Array, sizes: DeviceSizes
    ) -> Standardised:
        """ω of the networks of these numbers, (network, …) each, float32.

        Args:
            stream: From `stream_at`.
            numbers: Of networks in the stream, uint32, one axis.
            sizes: Of the device.
        """
        normals = {
            site.name: site_normals(
                stream.words, numbers, site, sizes, rounds=ROUNDS[DEFAULT_GENERATOR]
            )
            for site in trace_normal_sites(self.network)
        }
        if not self.others:
            return normals

        def of_one(key: jax.Array, normals: Standardised) -> Standardised:
            prior = FillNormals(plugin_prior(self.network), normals)
            trace = handlers.trace(handlers.seed(prior, key)).get_trace()
            return {name: trace[name]["value"] / std for name, std in self._others()}

        return normals | jax.vmap(of_one)(numbered_keys(stream.key, numbers), normals)

    def outputs(self, values: Standardised, points: jax.Array) -> jax.Array:
        """One network at inputs (point, input_dim), (point · output,)."""
        return self.network.apply(self.params(values), points).reshape(-1)

    def params(self, values: Standardised) -> Params:
        """What the forward pass takes."""
        given = {name: values[name] * std for name, std in self._others()}
        normals = {name: v for name, v in values.items() if name not in self.others}
        prior = handlers.substitute(plugin_prior(self.network), data=given)
        return handlers.seed(FillNormals(prior, normals), seed_key(0))()

    def rates(self, parametrization: str, train: str = "all") -> dict[str, float]:
        """Trained site -> what a squared gradient by ω is multiplied by.

        1 in the NTK parametrisation; 1/σ² in the standard one, and 0 where σ is 0.

        Args:
            parametrization: `ntk` or `standard`.
            train: `all`, or `readout`: the sites that no feature depends on.

        Raises:
            UnavailableError: A trained site is neither normal nor of a finite standard
                deviation that is the same for all networks; in the standard one, a σ is
                not a number of the site's; or there is no linear readout.
        """
        names = self.names if train == "all" else readout_sites(self.network)
        for name in names:
            if name in self.unscaled:
                raise UnavailableError(
                    f"the site {name!r} of {self.network.name!r} has no finite "
                    "standard deviation > 0 that is the same for all networks, by "
                    "which its gradient would be measured; give it a normal prior, or "
                    "one of finite variance; train='readout' needs none below it"
                )
        if parametrization == "ntk":
            return dict.fromkeys(names, 1.0)
        return {name: standard_rate(name, self.deviations[name]) for name in names}

    def _others(self) -> list[tuple[str, jax.Array]]:
        return [(name, jnp.asarray(s, jnp.float32)) for name, s in self.others.items()]


@shared
def sites_of(network: Network) -> Sites:
    """The sites of a network's prior."""
    normal = {site.name for site in trace_normal_sites(network)}
    deviations = standard_deviations(plugin_prior(network))
    others = {name: std for name, std in deviations.items() if name not in normal}
    unscaled = frozenset(
        name for name, std in others.items() if not (np.isfinite(std) & (std > 0)).all()
    )
    others |= {name: np.ones_like(others[name]) for name in unscaled}
    return Sites(network, others, deviations, unscaled)


@shared
def readout_sites(network: Network) -> tuple[str, ...]:
    """Sites of the linear last layer: the program of the features needs none of them.

    To be called before anything is traced; then it is known.

    Raises:
        UnavailableError: There is no linear readout.
    """
    readout = network.readout()
    if readout is None:
        raise UnavailableError(
            f"architecture {network.name!r} gives no linear readout, so that there is "
            "none to train alone; use train='all'"
        )
    sites, features = sites_of(network), readout.features
    stream, device = stream_at(seed_key(0), 0)[0], sizes_of(default_device())
    point = jnp.zeros((network.hyperparameters.input_dim,), jnp.float32)
    shapes = jax.eval_shape(
        lambda numbers: sites.draw(stream, numbers, device), jnp.zeros(1, jnp.uint32)
    )
    of_one = [jax.ShapeDtypeStruct(s.shape[1:], s.dtype) for s in shapes.values()]

    def hidden(*values: jax.Array) -> jax.Array:
        return features(sites.params(dict(zip(shapes, values, strict=True))), point)

    unused = unused_arguments(hidden, *of_one)
    return tuple(name for name, of_it in zip(shapes, unused, strict=True) if of_it)


def check_normal(network: Network, train: str) -> None:
    """Refuse what trains a site that is not normal.

    Raises:
        UnavailableError: There is one.
    """
    sites = sites_of(network)
    others = sorted(set(sites.others) & set(sites.rates("ntk", train)))
    if others:
        raise UnavailableError(
            f"Langevin dynamics keeps a prior of normal parameters, and the sites "
            f"{others} of {network.name!r} are not normal; use another method, or "
            "nnft_ppl.posterior"
        )
