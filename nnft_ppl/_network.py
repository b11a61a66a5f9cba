"""A network: one architecture with its hyperparameters, validated, ready to use.

In: an `Architecture` and numbers. Out: `Network`, whose methods are vectorised over
inputs. The caller need not know which plugin the architecture came from.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._typing import Matrix, Params, Points
from nnft_ppl.architecture import (
    Architecture,
    Hyperparameters,
    Neuron,
    OptionValue,
    Readout,
)


@dataclass(frozen=True)
class Network:
    """An architecture at fixed hyperparameters: a random function, not one draw of it.

    Build it with `nnft_ppl.network(name, ...)`, or `Network.build(architecture, ...)`
    for an architecture that is not installed as a plugin.
    """

    architecture: Architecture
    hyperparameters: Hyperparameters

    @staticmethod
    def build(
        architecture: Architecture,
        *,
        width: int,
        input_dim: int,
        output_dim: int = 1,
        weight_std: float = 1.0,
        bias_std: float = 0.0,
        **options: OptionValue,
    ) -> "Network":
        """Validate the hyperparameters and make the network.

        Raises:
            SpecError: A number is out of range or an option is unknown.
        """
        for name, value in (
            ("width", width),
            ("input_dim", input_dim),
            ("output_dim", output_dim),
        ):
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
                raise SpecError(f"`{name}` is {value!r}; expected a whole number ≥ 1")
        for name, std in (("weight_std", weight_std), ("bias_std", bias_std)):
            if (
                not isinstance(std, Real)
                or isinstance(std, bool)
                or not math.isfinite(std)
                or std < 0
            ):
                raise SpecError(f"`{name}` is {std!r}; expected a finite number ≥ 0")
        if weight_std == 0:
            raise SpecError("`weight_std` is 0; the output would be its bias alone")
        unknown = set(options) - set(architecture.options)
        if unknown:
            raise SpecError(
                f"architecture {architecture.name!r} has no option "
                f"{sorted(unknown)}; it has {sorted(architecture.options)} beside "
                "width, input_dim, output_dim, weight_std and bias_std"
            )
        values = {
            name: option.validate(name, options.get(name, option.default))
            for name, option in architecture.options.items()
        }
        return Network(
            architecture,
            Hyperparameters(
                width=int(width),
                input_dim=int(input_dim),
                output_dim=int(output_dim),
                weight_std=float(weight_std),
                bias_std=float(bias_std),
                options=MappingProxyType(values),
            ),
        )

    def __hash__(self) -> int:
        """Equal networks hash alike, so that each is compiled once."""
        return hash((self.architecture.apply, self.to_json()))

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
        hp = self.hyperparameters
        return Network.build(
            self.architecture,
            width=width,
            input_dim=hp.input_dim,
            output_dim=hp.output_dim,
            weight_std=hp.weight_std,
            bias_std=hp.bias_std,
            **hp.options,
        )

    def to_json(self) -> str:
        """Name and hyperparameters as JSON, the form that files carry."""
        hp = self.hyperparameters
        return json.dumps(
            {
                "architecture": self.name,
                "width": hp.width,
                "input_dim": hp.input_dim,
                "output_dim": hp.output_dim,
                "weight_std": hp.weight_std,
                "bias_std": hp.bias_std,
                "options": dict(hp.options),
            },
            sort_keys=True,
        )

    def __repr__(self) -> str:
        """Show name and hyperparameters."""
        hp = self.hyperparameters
        options = "".join(f", {k}={v!r}" for k, v in hp.options.items())
        return (
            f"Network({self.name!r}, width={hp.width}, input_dim={hp.input_dim}, "
            f"output_dim={hp.output_dim}, weight_std={hp.weight_std}, "
            f"bias_std={hp.bias_std}{options})"
        )

    def check_inputs(self, x: ArrayLike, *, distinct: bool = False) -> Points:
        """Inputs as a float64 array (point, input_dim).

        One-dimensional `x` is taken as points when input_dim is 1.

        Raises:
            SpecError: Wrong width, NaN or infinity, no points, or (with `distinct`)
                two equal points.
        """
        dim = self.hyperparameters.input_dim
        try:
            given = np.asarray(x)
            if np.iscomplexobj(given):  # NumPy would drop the imaginary part
                raise TypeError("complex numbers")
            points = given.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise SpecError(
                f"inputs are no array of real numbers ({error}); expected shape "
                f"(number of points, {dim})"
            ) from error
        if points.ndim == 1 and dim == 1:
            points = points[:, None]
        if points.ndim != 2 or points.shape[1] != dim:
            raise SpecError(
                f"inputs have shape {points.shape}; expected (number of points, "
                f"{dim}) because input_dim is {dim}"
            )
        if len(points) == 0:
            raise SpecError("inputs hold no points; give at least one")
        bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
        if bad.size:
            raise SpecError(
                f"input {bad[0]} is {points[bad[0]].tolist()}; inputs must be finite"
            )
        if distinct:
            _, first, counts = np.unique(
                points, axis=0, return_index=True, return_counts=True
            )
            if (counts > 1).any():
                twice = points[first[np.argmax(counts > 1)]].tolist()
                raise SpecError(
                    f"input {twice} is given more than once; correlators list every "
                    "repetition of an input already, so give distinct inputs"
                )
        return points

    def prior(self) -> Params:
        """Sample the parameters; call it inside a NumPyro context."""
        return self.architecture.prior(self.hyperparameters)

    def apply(self, params: Params, x: ArrayLike) -> Float[jax.Array, "point output"]:
        """Outputs of one draw of the network at the inputs `x` (point, input_dim)."""
        points = jnp.asarray(x)
        dim = self.hyperparameters.input_dim
        if points.ndim == 1 and dim == 1:
            points = points[:, None]
        if points.ndim != 2 or points.shape[1] != dim:
            raise SpecError(
                f"inputs have shape {points.shape}; expected (number of points, {dim})"
            )
        return jax.vmap(
            lambda point: self.architecture.apply(self.hyperparameters, params, point)
        )(points)

    @property
    def has_kernel(self) -> bool:
        """Whether the GP kernel is known in closed form."""
        return self.architecture.kernel is not None

    def kernel(self, x: ArrayLike, y: ArrayLike | None = None) -> Matrix:
        """GP kernel E[f(x) f(y)] of one output, float64, shape (len(x), len(y)).

        Raises:
            UnavailableError: The architecture gives no kernel.
            SpecError: The inputs are of the wrong width or not finite.
        """
        single = self.architecture.kernel
        if single is None:
            raise UnavailableError(
                f"architecture {self.name!r} gives no GP kernel; measure its 2-pt "
                "function with measure_correlators(orders=(2,))"
            )
        rows = self.check_inputs(x)
        columns = rows if y is None else self.check_inputs(y)
        with jax.enable_x64(True):
            table = self._kernel_table(jnp.asarray(rows), jnp.asarray(columns))
            values = np.asarray(table, dtype=np.float64)
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise SpecError(
                f"the kernel of {self!r} is {values[row, column]} at inputs "
                f"{rows[row].tolist()} and {columns[column].tolist()}; use inputs of "
                "moderate size"
            )
        return values

    @cached_property
    def _kernel_table(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """The kernel over two sets of inputs, compiled once per shape."""
        single, hp = self.architecture.kernel, self.hyperparameters
        assert single is not None  # `kernel` has seen to it

        def row(a: jax.Array, columns: jax.Array) -> jax.Array:
            return jax.vmap(lambda b: single(hp, a, b))(columns)

        return jax.jit(jax.vmap(row, in_axes=(0, None)))

    def propagator(self, x: ArrayLike, y: ArrayLike | None = None) -> Matrix:
        """K_W = K − σ_b²: the kernel less the output bias, float64, (len(x), len(y)).

        The output bias is an additive, exactly Gaussian piece that does not interact;
        the effective theory is written for the rest (theory.md §1, §4).
        """
        return self.kernel(x, y) - self.output_bias_variance

    def propagator_variance(self, x: ArrayLike) -> Float[np.ndarray, " point"]:
        """K_W(x, x), float64, (point,); see `kernel` for what is raised."""
        single = self.architecture.kernel
        if single is None:
            self.kernel(x)  # refuses
        points = self.check_inputs(x)
        with jax.enable_x64(True):
            values = np.asarray(self._kernel_diagonal(jnp.asarray(points)))
        return np.asarray(values - self.output_bias_variance)

    @cached_property
    def _kernel_diagonal(self) -> Callable[[jax.Array], jax.Array]:
        """K(x, x) over a set of inputs, compiled once per shape."""
        single, hp = self.architecture.kernel, self.hyperparameters
        assert single is not None  # the caller has seen to it
        return jax.jit(jax.vmap(lambda a: single(hp, a, a)))

    @property
    def output_bias_variance(self) -> float:
        """σ_b² of the output bias; 0 where no readout tells it."""
        readout = self.readout()
        return 0.0 if readout is None else readout.bias_std**2

    def readout(self) -> Readout | None:
        """The Gaussian last layer, or `None`."""
        make = self.architecture.readout
        return None if make is None else make(self.hyperparameters)

    def neuron(self) -> Neuron | None:
        """The i.i.d. hidden neuron, or `None`."""
        make = self.architecture.neuron
        return None if make is None else make(self.hyperparameters)
