"""A network: one architecture with its hyperparameters, validated, ready to use.

In: an `Architecture` and numbers. Out: `Network`, vectorised over inputs.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Wrapped
from jaxtyping import ArrayLike, Float

from nnft_ppl._compile import shared
from nnft_ppl._errors import UnavailableError
from nnft_ppl._html import card
from nnft_ppl._hyperparameters import check_size, checked_hyperparameters
from nnft_ppl._inputs import check_inputs, shaped_inputs
from nnft_ppl._known_kernel import TableKernel, check_kernel_is_finite
from nnft_ppl._measured_kernel import KernelDraws, MeasuredKernel
from nnft_ppl._pair_table import all_pairs, pair_table
from nnft_ppl._parameters import Layout
from nnft_ppl._tangent_kernel import TangentKernel
from nnft_ppl._travel import Reduced, check_same_options
from nnft_ppl._typing import Matrix, Params, Points
from nnft_ppl.activations import Activation
from nnft_ppl.architecture import (
    Architecture,
    HiddenLayers,
    Hyperparameters,
    Neuron,
    PairFunction,
    Readout,
)
from nnft_ppl.option import OptionValue


@dataclass(frozen=True)
class Network:
    """An architecture at fixed hyperparameters: a random function, not one draw of it.

    Build it with `nnft_ppl.network(name, ...)`, or `Network.build(architecture, ...)`
    for an architecture that is not installed as a plugin.

    Attributes:
        architecture: What a plugin supplies.
        hyperparameters: Sizes and scales.
        kernel_draws: The networks whose mean is the kernel, from `measured_kernel`;
            `None` where it is the architecture's own.
    """

    architecture: Architecture
    hyperparameters: Hyperparameters
    kernel_draws: KernelDraws | None = None

    @staticmethod
    def build(
        architecture: Architecture,
        *,
        width: int,
        input_dim: int | Sequence[int],
        output_dim: int = 1,
        weight_std: float = 1.0,
        bias_std: float = 0.0,
        **options: OptionValue | Callable[[jax.Array], jax.Array],
    ) -> "Network":
        """Validate the hyperparameters and make the network.

        `input_dim` is a number, or the shape of one input such as (8, 8, 1).

        Raises:
            SpecError: A number is out of range, an option is unknown, or they do not
                fit together.
        """
        hyperparameters = checked_hyperparameters(
            architecture,
            width=width,
            input_dim=input_dim,
            output_dim=output_dim,
            weight_std=weight_std,
            bias_std=bias_std,
            options=options,
        )
        if architecture.check is not None:
            architecture.check(hyperparameters)
        return Network(architecture, hyperparameters)

    def __hash__(self) -> int:
        """Equal networks hash alike, so that each is compiled once."""
        return hash((self.architecture.apply, self.to_json()))

    def __reduce__(self) -> Reduced:
        """For pickle: the architecture of a plugin by name, any other by value."""
        return _received, (self.architecture, self.hyperparameters, self.kernel_draws)

    def __copy__(self) -> "Network":
        """Itself: nothing of it changes, and what is compiled is shared."""
        return self

    def __deepcopy__(self, memo: object) -> "Network":
        """As `__copy__`."""
        return self

    @property
    def name(self) -> str:
        """Name of the architecture."""
        return self.architecture.name

    @property
    def width(self) -> int:
        """The asymptotic parameter N."""
        return self.hyperparameters.width

    def with_width(self, width: int) -> "Network":
        """The same network at another width."""
        hp = replace(self.hyperparameters, width=check_size("width", width))
        if self.architecture.check is not None:
            self.architecture.check(hp)
        return replace(self, hyperparameters=hp)

    @property
    def input_dim(self) -> int | tuple[int, ...]:
        """As `build` takes it: a number, or the shape of one input."""
        shape = self.hyperparameters.input_shape
        return shape if len(shape) > 1 else shape[0]

    @property
    def options(self) -> dict[str, bool | int | float | str]:
        """The options as files carry them: an `Activation` by its name."""
        return {
            name: value.name if isinstance(value, Activation) else value
            for name, value in self.hyperparameters.options.items()
        }

    def to_json(self) -> str:
        """Name and hyperparameters as JSON, the form that files carry."""
        draws = self.kernel_draws
        measured = {} if draws is None else {"kernel_draws": vars(draws)}
        named = {"architecture": self.name, "options": self.options}
        return json.dumps({**named, **self._sizes(), **measured}, sort_keys=True)

    def _sizes(self) -> dict[str, object]:
        """What every network has, as the user gave it."""
        hp = self.hyperparameters
        sizes = {"width": hp.width, "input_dim": self.input_dim}
        stds = {"weight_std": hp.weight_std, "bias_std": hp.bias_std}
        return {**sizes, "output_dim": hp.output_dim, **stds}

    def __repr__(self) -> str:
        """Show name and hyperparameters."""
        settings = {**self._sizes(), **self.options}.items()
        text = "".join(f", {k}={v!r}" for k, v in settings)
        if self.kernel_draws is not None:
            text += f", kernel measured on {self.kernel_draws.num_draws:,} networks"
        return f"Network({self.name!r}{text})"

    def _repr_html_(self) -> str:
        """Name and hyperparameters for notebooks."""
        rows = {**self._sizes(), **self.options}.items()
        return card(f"Network {self.name}", rows, self.architecture.description)

    def check_inputs(self, x: ArrayLike, *, distinct: bool = False) -> Points:
        """Inputs as a float64 array (point, input_dim), one row an input.

        `x` may also have the shape `(point, *input_shape)`; its rows are flattened.
        One-dimensional `x` is taken as points when input_dim is 1.

        Raises:
            SpecError: Wrong width, NaN or infinity, no points, or (with `distinct`)
                two equal points.
        """
        return check_inputs(x, self.hyperparameters.input_shape, distinct=distinct)

    def prior(self) -> Params:
        """Sample the parameters, each at its site, in a model; plates add axes."""
        return self._parameters.sample()

    def apply(
        self, params: Params, x: ArrayLike
    ) -> Float[jax.Array, "*networks point output"]:
        """Outputs at the inputs (point, input_dim) of one draw, or of several.

        `params` are those of `prior`, or samples by site name, as MCMC gives them; axes
        that all have in front come first in the result.

        Raises:
            SpecError: Inputs or parameters do not fit, or differ in the axes in front.
        """
        hp, forward = self.hyperparameters, self.architecture.apply
        points = shaped_inputs(x, hp.input_shape)
        return self._parameters.over_networks(
            lambda one: jax.vmap(partial(forward, hp, one))(points), params
        )

    @cached_property
    def _parameters(self) -> Layout:
        """Names and shapes of the parameters, found once."""
        return Layout.of(partial(self.architecture.prior, self.hyperparameters))

    @property
    def no_gp_limit(self) -> str | None:
        """Why the ensemble does not become Gaussian as it widens; `None` if it does."""
        reason = self.architecture.no_gp_limit
        return None if reason is None else reason(self.hyperparameters)

    @property
    def unknown_kernel(self) -> str | None:
        """Why there is no kernel here; `None` where there is one."""
        if self.kernel_draws is not None:
            return None
        reason = self.architecture.unknown_kernel
        told = None if reason is None else reason(self.hyperparameters)
        if told is None and self.architecture.kernel is None:
            return f"architecture {self.name!r} gives no GP kernel"
        return told

    @property
    def has_kernel(self) -> bool:
        """Whether the 2-pt function is known: at infinite width, or as measured."""
        return self.unknown_kernel is None

    @property
    def kernel_holds_at_every_width(self) -> bool:
        """Whether the 2-pt function is the kernel, exactly, at finite width too."""
        return self.has_kernel and not self.kernel_draws and self.neuron() is not None

    @property
    def measured(self) -> MeasuredKernel | None:
        """The measured kernel; `None` where it is the architecture's own."""
        draws = self.kernel_draws
        if draws is None:
            return None
        return MeasuredKernel(self.architecture, self.hyperparameters, draws)

    def pair_kernel(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """K(x, y) of one pair of inputs, each (input_dim,), for JAX to transform.

        Raises:
            UnavailableError: The kernel is not known here.
        """
        return self.measured or self._pair_function(self.architecture.kernel)

    def kernel(self, x: ArrayLike, y: ArrayLike | None = None) -> Matrix:
        """Kernel E[f(x) f(y)] of one output, float64, shape (len(x), len(y)).

        That of the limit of infinite width: of the GP, where there is one. A measured
        one is that of the network's own width.

        Raises:
            UnavailableError: The kernel is not known here, or not at these inputs.
            SpecError: The inputs are of the wrong width or not finite.
            PluginError: The architecture gives anything but one real number.
        """
        rows = self.check_inputs(x)
        columns = rows if y is None else self.check_inputs(y)
        if self.measured is not None:
            values = self.measured.table(rows, columns)
        elif isinstance(known := self.architecture.kernel, TableKernel):
            values = known.between(rows, columns)
        else:
            what = f"the kernel of architecture {self.name!r} for each pair"
            values = pair_table(self._kernel_rows, rows, columns, what)
        known = self.architecture.kernel
        check_kernel_is_finite(self, known, values, rows, columns)
        return values

    def kernel_error(self, x: ArrayLike, y: ArrayLike | None = None) -> Matrix:
        """Absolute error of `kernel`, float64, of the same shape; a bound, if computed.

        Zero where the kernel is a closed form: rounding is not counted. One standard
        error where it is measured.

        Raises:
            As `kernel`.
        """
        rows = self.check_inputs(x)
        columns = rows if y is None else self.check_inputs(y)
        self.pair_kernel()  # refuses
        if self.measured is not None:
            return self.measured.error(rows, columns)
        if self.architecture.kernel_error is None:
            return np.zeros((len(rows), len(columns)))
        what = f"the kernel error of architecture {self.name!r} for each pair"
        return pair_table(self._error_rows, rows, columns, what)

    def tangent_kernel(
        self, x: ArrayLike, y: ArrayLike | None = None, *, parametrization: str = "ntk"
    ) -> Matrix:
        """Tangent kernel Θ of one output at infinite width, float64, (len(x), len(y)).

        By gradients with respect to ω where each parameter is θ = σω; `standard` by θ
        itself, to leading order in the network's width. Parameters of σ = 0 do not
        count. For what is raised see `TangentKernel`, and `kernel` for inputs.
        """
        kernel = TangentKernel(self.architecture, self.hyperparameters, parametrization)
        rows = self.check_inputs(x)
        return kernel.table(rows, rows if y is None else self.check_inputs(y))

    def _pair_function(
        self, function: PairFunction | None
    ) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """A function of the architecture as one of two flat inputs."""
        unknown = self.unknown_kernel
        if unknown is not None:
            advice = f"measure the 2-pt function of {self.name!r} with "
            advice += "measure_correlators(orders=(2,))"
            own = function is None and self.architecture.unknown_kernel is not None
            raise UnavailableError(unknown if own else f"{unknown}; {advice}")
        assert function is not None  # there would be an `unknown_kernel`
        return self._flat(partial(function, self.hyperparameters))

    @property
    @shared
    def _kernel_rows(self) -> Wrapped:
        """The kernel over two sets of inputs, compiled once per shape."""
        return jax.jit(all_pairs(self.pair_kernel()))

    @property
    @shared
    def _error_rows(self) -> Wrapped:
        """The same of its error."""
        return jax.jit(all_pairs(self._pair_function(self.architecture.kernel_error)))

    def propagator(self, x: ArrayLike, y: ArrayLike | None = None) -> Matrix:
        """K_W = K − σ_b²: the kernel less the output bias, float64, (len(x), len(y)).

        The output bias is an additive, exactly Gaussian piece that does not interact;
        the effective theory is written for the rest (theory.md §1, §4).
        """
        return self.kernel(x, y) - self.output_bias_variance

    def propagator_variance(self, x: ArrayLike) -> Float[np.ndarray, " point"]:
        """K_W(x, x), float64, (point,); see `kernel` for what is raised."""
        with jax.enable_x64(True):
            values = self._kernel_diagonal(jnp.asarray(self.check_inputs(x)))
        return np.asarray(values) - self.output_bias_variance

    @property
    @shared
    def _kernel_diagonal(self) -> Callable[[jax.Array], jax.Array]:
        """K(x, x) over a set of inputs, compiled once per shape."""
        kernel = self.pair_kernel()
        return jax.jit(jax.vmap(lambda a: kernel(a, a)))

    @property
    def output_bias_variance(self) -> float:
        """σ_b² of the output bias; 0 where no readout tells it."""
        readout = self.readout()
        return 0.0 if readout is None else readout.bias_std**2

    def readout(self) -> Readout | None:
        """The linear last layer, or `None`; its features take one flat input."""
        make = self.architecture.readout
        readout = None if make is None else make(self.hyperparameters)
        if readout is None:
            return None
        features, shape = readout.features, self.hyperparameters.input_shape
        return replace(readout, features=lambda p, x: features(p, x.reshape(shape)))

    def gaussian_readout(self) -> Readout | None:
        """`readout()` where the output is Gaussian given the features, or `None`."""
        readout = self.readout()
        return readout if readout is not None and readout.is_gaussian else None

    def neuron(self) -> Neuron | None:
        """The i.i.d. hidden neuron, or `None`; its covariance takes flat inputs."""
        return self._of_flat_inputs(self.architecture.neuron)

    def hidden_layers(self) -> HiddenLayers | None:
        """The fully connected layers, or `None`; their covariance takes flat inputs."""
        return self._of_flat_inputs(self.architecture.hidden_layers)

    def _of_flat_inputs[T: (Neuron, HiddenLayers)](
        self, make: Callable[[Hyperparameters], T | None] | None
    ) -> T | None:
        made = None if make is None else make(self.hyperparameters)
        return made and replace(made, covariance=self._flat(made.covariance))

    def _flat(
        self, function: Callable[[jax.Array, jax.Array], jax.Array]
    ) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """A function of two inputs as one of two flat inputs."""
        shape = self.hyperparameters.input_shape
        return lambda x, y: function(x.reshape(shape), y.reshape(shape))


def _received(
    architecture: Architecture,
    hyperparameters: Hyperparameters,
    kernel_draws: KernelDraws | None,
) -> Network:
    """A network that was pickled, of the architecture as it is known here."""
    check_same_options(architecture.name, hyperparameters.options, architecture.options)
    return Network(architecture, hyperparameters, kernel_draws)
