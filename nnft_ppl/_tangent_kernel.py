r"""The tangent kernel at infinite width: what gradients at two inputs have in common.

.. math:: Θ(x, y) = Σ_s r_s Σ_i σ_{s,i}^2 \frac{∂f(x)}{∂θ_{s,i}}
    \frac{∂f(y)}{∂θ_{s,i}}

over the entries i of the sites s of the prior. In the NTK parametrisation every
parameter is θ = σ ω with ω of variance 1, gradients are those by ω, and r = 1. In the
standard one gradients are those by θ itself, r = 1/σ²: the leading order in the width
that the network has.

In: an architecture, which gives its shares of sites, or its hidden layers. Out: tables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Wrapped

from nnft_ppl._arguments import check_choice
from nnft_ppl._compile import shared
from nnft_ppl._errors import PluginError, UnavailableError
from nnft_ppl._pair_table import all_pairs, pair_table
from nnft_ppl._parameters import standard_deviations
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.activations import mean_product, mean_slope_product, mean_square
from nnft_ppl.architecture import Architecture, HiddenLayers, Hyperparameters, Readout

PARAMETRIZATIONS = ("ntk", "standard")

type _Layer = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""Covariances of x with x, y with y, x with y, and Θ, of one layer."""
type _Pair = Callable[[jax.Array, jax.Array], jax.Array]


@dataclass(frozen=True)
class TangentKernel:
    """Θ of one output, as a function of two flat inputs.

    Attributes:
        architecture: Whose.
        hyperparameters: At which; in the standard parametrisation the width counts.
        parametrization: One of `PARAMETRIZATIONS`.

    Raises:
        SpecError: There is no such parametrisation.
        UnavailableError: The architecture does not give the kernel here.
    """

    architecture: Architecture
    hyperparameters: Hyperparameters
    parametrization: str

    def __post_init__(self) -> None:
        """Refuse what cannot be had."""
        check_choice("parametrization", self.parametrization, PARAMETRIZATIONS)
        architecture, hp = self.architecture, self.hyperparameters
        reasons = (architecture.no_gp_limit, architecture.unknown_kernel)
        why = next((r(hp) for r in reasons if r is not None and r(hp)), None)
        if why is None and architecture.tangent_kernel is None:
            if self._layers() is None:
                why = f"architecture {architecture.name!r} gives no tangent kernel"
            elif self.parametrization == "standard":
                why = (
                    f"architecture {architecture.name!r} gives its hidden layers, "
                    "which do not tell how its first layer depends on each parameter"
                )
        if why is not None:
            raise UnavailableError(
                f"{why}; measure the one of {architecture.name!r} at its own width "
                "with measure_tangent_kernel"
            )

    def __hash__(self) -> int:
        """Options are a mapping, which has no hash."""
        return hash((self.architecture.apply, self.hyperparameters.width))

    def table(self, rows: Points, columns: Points) -> Matrix:
        """Θ over two sets of inputs, float64.

        Raises:
            PluginError: The architecture gives shares of what is no site of its prior,
                or anything but one real number for each.
        """
        what = f"the tangent kernel of architecture {self.architecture.name!r}"
        return pair_table(_compiled_rows(self), rows, columns, f"{what} for each pair")

    def pair(self) -> _Pair:
        """Θ(x, y) of one pair of inputs, each (input_dim,), for JAX to transform."""
        hp, shares = self.hyperparameters, self.architecture.tangent_kernel
        if shares is None:
            layers = self._layers()
            assert layers is not None  # __post_init__ has looked
            return partial(_of_layers, *layers, hp.input_shape)
        rates = self._rates()

        def pair(x: jax.Array, y: jax.Array) -> jax.Array:
            parts = shares(hp, x.reshape(hp.input_shape), y.reshape(hp.input_shape))
            unknown = sorted(set(parts) - set(rates))
            if unknown:
                raise PluginError(
                    f"the tangent kernel of architecture {self.architecture.name!r} "
                    f"has shares of {unknown}; expected names of sites of its prior: "
                    f"{sorted(rates)}"
                )
            terms = [rates[name] * share for name, share in parts.items()]
            return jnp.sum(jnp.stack(terms), axis=0)

        return pair

    def _layers(self) -> tuple[HiddenLayers, Readout] | None:
        """Hidden layers and the normal readout from them, if both are given."""
        architecture, hp = self.architecture, self.hyperparameters
        if architecture.hidden_layers is None or architecture.readout is None:
            return None
        layers, readout = architecture.hidden_layers(hp), architecture.readout(hp)
        if layers is None or readout is None or not readout.is_gaussian:
            return None
        return layers, readout

    def _rates(self) -> dict[str, float]:
        """Site -> r, 0 for parameters that are fixed.

        Raises:
            UnavailableError: The entries of a site differ in their deviations.
        """
        prior = partial(self.architecture.prior, self.hyperparameters)
        deviations = standard_deviations(prior)
        if self.parametrization == "ntk":
            return dict.fromkeys(deviations, 1.0)
        return {name: standard_rate(name, std) for name, std in deviations.items()}


def standard_rate(name: str, deviation: np.ndarray) -> float:
    """1/σ² of a site; 0 where σ is 0, which is no parameter.

    Raises:
        UnavailableError: σ is not one finite number.
    """
    value = float(deviation.flat[0]) if deviation.size else 0.0
    if not (np.isfinite(deviation) & (deviation == value)).all():
        raise UnavailableError(
            f"the standard parametrisation divides by the standard deviation of each "
            f"site, and that of {name!r} is not one finite number, the same for all "
            "its entries and networks; use parametrization='ntk'"
        )
    return 1 / value**2 if value > 0 else 0.0


@shared
def _compiled_rows(kernel: TangentKernel) -> Wrapped:
    """Θ over two sets of inputs, compiled once per shape."""
    return jax.jit(all_pairs(kernel.pair()))


def _of_layers(
    layers: HiddenLayers,
    readout: Readout,
    input_shape: tuple[int, ...],
    x: jax.Array,
    y: jax.Array,
) -> jax.Array:
    """Θ of fully connected layers, of which the first is linear in its parameters.

    Θ¹ = K¹ = s, Θˡ⁺¹ = σ_b² + σ_W² (E[φ φ'] + E[φ' φ'] Θˡ).

    Source: Jacot et al., arXiv:1806.07572 theorem 1.
    """
    x, y = x.reshape(input_shape), y.reshape(input_shape)
    phi = layers.activation
    pairs = ((x, x), (y, y), (x, y))
    xx, yy, xy = (layers.covariance(a, b).astype(float) for a, b in pairs)

    def step(state: _Layer, scales: tuple[jax.Array, jax.Array]) -> tuple[_Layer, None]:
        (xx, yy, xy, tangent), (weight_variance, bias_variance) = state, scales
        means = (
            mean_square(phi, xx),
            mean_square(phi, yy),
            mean_product(phi, xx, yy, xy),
        )
        slope = mean_slope_product(phi, xx, yy, xy)
        xx, yy, xy = (bias_variance + weight_variance * mean for mean in means)
        return (xx, yy, xy, xy + weight_variance * slope * tangent), None

    inner = len(layers.widths) - 1
    weights = [layers.weight_std] * inner + [readout.weight_std]
    biases = [layers.bias_std] * inner + [readout.bias_std]
    scales = jnp.square(jnp.asarray(weights)), jnp.square(jnp.asarray(biases))
    (*_, tangent), _ = jax.lax.scan(step, (xx, yy, xy, xy), scales)
    return tangent
