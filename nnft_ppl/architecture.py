"""The plugin contract: what one architecture supplies to the toolkit.

In comes what a plugin author writes: a NumPyro prior and the forward pass of ONE draw
at ONE input. The author need not vectorise, jit, split keys or shard; the core does.
All exact knowledge (kernel, readout, neuron) is optional, `None` when unknown, and
verified by `nnft_ppl.testing.check_architecture` when given.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType

import jax

from nnft_ppl._errors import PluginError, meant, shown
from nnft_ppl._travel import Reduced, by_fields, by_value
from nnft_ppl._typing import Params
from nnft_ppl.activations import Activation
from nnft_ppl.option import Option, OptionValue


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Everything that fixes a random network but not its parameters.

    Args:
        width: The asymptotic parameter N (units, channels, heads); the GP is N → ∞.
        input_dim: How many numbers one input has.
        input_shape: Shape of one input as the plugin sees it; (input_dim,) unless the
            user gave a shape, such as (8, 8, 1) for an image.
        output_dim: Number of outputs.
        weight_std: σ_W; weights have standard deviation σ_W/√(fan-in).
        bias_std: σ_b; biases have standard deviation σ_b.
        options: The architecture's own options, complete and validated.

    Source: theory.md §1 conventions; Halverson, Maiti, Stoner, arXiv:2008.08601 §2.
    """

    width: int
    input_dim: int
    output_dim: int = 1
    weight_std: float = 1.0
    bias_std: float = 0.0
    options: Mapping[str, OptionValue] = field(
        default_factory=lambda: MappingProxyType({})
    )
    input_shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Complete the shape of one input."""
        if not self.input_shape:
            object.__setattr__(self, "input_shape", (self.input_dim,))

    def __reduce__(self) -> Reduced:
        """For pickle."""
        return by_fields(self)

    def option[T](self, name: str, kind: type[T]) -> T:
        """The option `name`, known to be of its default's type.

        Raises:
            PluginError: The plugin asks for an option, or a type, it does not declare.
        """
        if name not in self.options:
            raise PluginError(
                f"the plugin asks for the option {name!r}{meant(name, self.options)}; "
                f"it declares {sorted(self.options)}"
            )
        if not isinstance(value := self.options[name], kind):
            raise PluginError(
                f"option `{name}` is {value!r}; expected the {kind.__name__} that the "
                "plugin asks for: does it declare such a default?"
            )
        return value


@dataclass(frozen=True, kw_only=True)
class Readout:
    """A linear last layer: f = bias + Σ_j a_j φ_j(x), independent of all below.

    The a_j are independent, E[a²] = weight_std²/F over the F features, symmetric unless
    `odd_weight_moment` says otherwise; bias ~ N(bias_mean, bias_std²). Given the
    features a symmetric output has the random kernel K̂(x,y) = bias_std² +
    (weight_std²/F) Σ_j φ_j(x) φ_j(y), and is Gaussian of normal a_j (theory.md §3).

    Args:
        features: (params, one input) -> (feature,): the last hidden layer.
        weight_std: Root mean square of one output weight times √F.
        bias_std: Standard deviation of the output bias.
        weight_moment: Even k -> E[a^k]/E[a²]^{k/2} of one output weight, infinite where
            there is none; `None` when the weights are normal. Infinite at k = 2 says
            that they have no variance: `weight_std` is then a scale, and the output
            has no correlators.
        odd_weight_moment: The same for odd k; `None` where the weights are symmetric.
        bias_mean: Mean of the output bias.
    """

    features: Callable[[Params, jax.Array], jax.Array]
    weight_std: float
    bias_std: float
    weight_moment: Callable[[int], float] | None = None
    odd_weight_moment: Callable[[int], float] | None = None
    bias_mean: float = 0.0

    @property
    def has_normal_weights(self) -> bool:
        """Whether the output is Gaussian given the features, be it about a mean."""
        return self.weight_moment is None and self.odd_weight_moment is None

    @property
    def is_symmetric(self) -> bool:
        """Whether f and −f are alike, so that odd correlators vanish."""
        return self.odd_weight_moment is None and self.bias_mean == 0

    @property
    def is_gaussian(self) -> bool:
        """Whether the output is Gaussian, without a mean, given the features."""
        return self.has_normal_weights and self.bias_mean == 0


@dataclass(frozen=True, kw_only=True)
class Neuron:
    """The hidden neuron of a net whose features are independent and identical.

    φ_j(x) = activation(z_j(x), s(x,x)), z_j a Gaussian process with covariance s; or
    any other random function whose products have a mean in closed form that depends on
    the inputs through a function s of two of them. The exact cumulants of every order
    follow (theory.md §2).

    Args:
        covariance: s(x, y) for one pair of inputs: of z, or, without an activation,
            whatever `product_mean` needs, finite and s(x, x) ≥ 0.
        activation: (z, variance of z) -> φ, elementwise; `variance` is a scalar or of
            the shape of z. `None` when φ is no function of such a z.
        homogeneity: h where activation(c z) = c^h activation(z) for c > 0 and the only
            kink is at z = 0; `None` when the activation is smooth everywhere.
        product_mean: (k, k) values of s at k inputs, k even -> E[Π φ], in closed form
            and infinite where there is none; `None` when quadrature over z is used.
        odd_product_means: `product_mean` holds for odd k, too.

    Raises:
        PluginError: There is neither an activation nor a closed form, or a homogeneity
            of no activation.
    """

    covariance: Callable[[jax.Array, jax.Array], jax.Array]
    activation: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    homogeneity: int | None = None
    product_mean: Callable[[jax.Array], jax.Array] | None = None
    odd_product_means: bool = False

    def __post_init__(self) -> None:
        """Refuse a neuron of which no moment could be computed."""
        if self.activation is not None:
            return
        if self.product_mean is None:
            raise PluginError(
                "a neuron gives neither `activation` nor `product_mean`; expected the "
                "activation where φ is a function of a Gaussian preactivation, else "
                "the mean of a product of features in closed form"
            )
        if self.homogeneity is not None:
            raise PluginError(
                f"a neuron gives the homogeneity {self.homogeneity!r} of an "
                "`activation` that is None; give both or neither"
            )


@dataclass(frozen=True, kw_only=True)
class HiddenLayers:
    """Fully connected hidden layers, of which the expansion in 1/width is known.

    z⁽¹⁾ is a Gaussian process with `covariance`, independent between units;
    z⁽ˡ⁺¹⁾ = b + W φ(z⁽ˡ⁾) with W ~ N(0, weight_std²/n_l) and b ~ N(0, bias_std²), up to
    z⁽ᴸ⁾. The features of the readout are φ(z⁽ᴸ⁾), n_L of them (theory.md §2).

    Args:
        covariance: s(x, y) of the first preactivation, for one pair of inputs.
        widths: n_1 … n_L, from the first hidden layer to the last.
        activation: φ.
        weight_std: σ_W of the layers between hidden layers.
        bias_std: σ_b of the same.
    """

    covariance: Callable[[jax.Array, jax.Array], jax.Array]
    widths: tuple[int, ...]
    activation: Activation
    weight_std: float
    bias_std: float


SYMMETRIES = frozenset({"translation", "rotation", "sign"})

type PairFunction = Callable[[Hyperparameters, jax.Array, jax.Array], jax.Array]
type PairShares = Callable[
    [Hyperparameters, jax.Array, jax.Array], Mapping[str, jax.Array]
]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A random-network architecture, as a plugin supplies it.

    Whatever takes hyperparameters and says `| None` may also answer `None`: unknown at
    these hyperparameters. One input has the shape `hp.input_shape`.

    Args:
        name: Equal to the plugin's entry-point name.
        description: One line for people, with the source.
        prior: NumPyro model, hyperparameters -> params, a pytree. Each leaf is what the
            site of its name holds; the name is its path, joined by dots.
        apply: (hyperparameters, params, one input) -> (output_dim,).
        kernel: (hyperparameters, one input, another) -> E[f f'] of one output at
            infinite width, output bias included; `None` when unknown.
        kernel_error: The same arguments -> a bound on the kernel's absolute error,
            where the kernel is itself the result of a quadrature, or its standard
            error, where it was measured.
        tangent_kernel: The same arguments -> shares of the parameters, by the names of
            their sites, in the tangent kernel of one output at infinite width: Σ over
            entries of ∂f/∂θ ∂f'/∂θ times the variance of θ.
        unknown_kernel: hyperparameters -> why `kernel` does not serve there, or `None`.
        no_gp_limit: hyperparameters -> why the ensemble does not become Gaussian as
            the width grows, or `None` where it does.
        readout: hyperparameters -> `Readout | None`, when the last layer is linear.
        neuron: hyperparameters -> `Neuron | None`, when the hidden neurons are i.i.d.
            The kernel then holds at every width.
        hidden_layers: hyperparameters -> `HiddenLayers | None`, when all of them are
            fully connected and normal.
        symmetries: Subset of `SYMMETRIES` that the kernel obeys. `sign` means
            f → −f, so that odd correlators vanish.
        options: Name -> `Option`.
        check: hyperparameters -> `None`; raises SpecError where they do not fit
            together, such as an input shape that is no image.
        suggested_inputs: input_dim -> nested lists of inputs worth a first look.

    Raises:
        PluginError: A part is of the wrong kind, a symmetry is unknown, or a neuron or
            hidden layers are given without a readout.
    """

    name: str
    description: str
    prior: Callable[[Hyperparameters], Params]
    apply: Callable[[Hyperparameters, Params, jax.Array], jax.Array]
    kernel: PairFunction | None = None
    kernel_error: PairFunction | None = None
    tangent_kernel: PairShares | None = None
    unknown_kernel: Callable[[Hyperparameters], str | None] | None = None
    no_gp_limit: Callable[[Hyperparameters], str | None] | None = None
    readout: Callable[[Hyperparameters], Readout | None] | None = None
    neuron: Callable[[Hyperparameters], Neuron | None] | None = None
    hidden_layers: Callable[[Hyperparameters], HiddenLayers | None] | None = None
    symmetries: frozenset[str] = frozenset()
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))
    check: Callable[[Hyperparameters], None] | None = None
    suggested_inputs: Mapping[int, list[list[float]]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def __post_init__(self) -> None:
        """Refuse what can be refused without running anything."""
        self._check_kinds()
        unknown = set(self.symmetries) - SYMMETRIES
        if unknown:
            raise PluginError(
                f"architecture {self.name!r} declares symmetries {sorted(unknown)}; "
                f"known are {sorted(SYMMETRIES)}"
            )
        for part in ("neuron", "hidden_layers"):
            if getattr(self, part) is not None and self.readout is None:
                raise PluginError(
                    f"architecture {self.name!r} gives {part} without a readout; the "
                    "scales of output weight and bias there are needed for cumulants"
                )

    def _check_kinds(self) -> None:
        for part, value in vars(self).items():
            if part in ("name", "description"):
                fits, expected = isinstance(value, str), "a text"
            elif part == "symmetries":
                fits, expected = isinstance(value, Set), "a set of texts"
            elif part == "suggested_inputs":
                fits, expected = (
                    isinstance(value, Mapping),
                    "lists of inputs by input_dim",
                )
            elif part == "options":
                fits = isinstance(value, Mapping) and all(
                    isinstance(name, str) and isinstance(option, Option)
                    for name, option in value.items()
                )
                expected = "options by name, each an nnft_ppl.Option"
            else:
                fits = callable(value) or (
                    value is None and part not in ("prior", "apply")
                )
                expected = "a function"
            if not fits:
                raise PluginError(
                    f"architecture {shown(self.name)} has `{part}` {shown(value)}; "
                    f"expected {expected}"
                )

    def __reduce__(self) -> Reduced:
        """For pickle; one of a plugin goes by name, see `nnft_ppl.registry`."""
        return by_value(
            self,
            f"the architecture {self.name!r}, which is of no installed plugin,",
            "make it one with `nnft new-plugin`",
        )
