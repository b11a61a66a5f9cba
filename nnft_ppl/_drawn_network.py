"""A network of which nothing is known but draws, and perhaps the kernel.

Correlators, actions and fits take a network for its sizes and its kernel. Where the
draws come from elsewhere this stands in its place: it has no parameters, and whatever
would draw it is refused. Its kernel is a function, or a table over some inputs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import jax
import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._arrays import real_numbers
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._known_kernel import (
    KERNEL_ADVICE,
    FunctionKernel,
    KnownKernel,
    TableKernel,
)
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.architecture import Architecture, Hyperparameters

DRAWN = "draws"
"""Name of the architecture in the place of one."""


@dataclass(frozen=True)
class NetworkKernel:
    """The kernel of a network as `Architecture.kernel`; a file knows it by the network.

    Attributes:
        network: Whose kernel it is.
    """

    network: Network

    def __call__(self, hp: Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
        """K(x, y)."""
        return self.network.pair_kernel()(x.reshape(-1), y.reshape(-1))


type DrawnKernel = KnownKernel | NetworkKernel

type Kernel = ArrayLike | Network | Callable[[jax.Array, jax.Array], jax.Array]
"""What a user may give for a kernel."""

_ROUNDING = 1e-6
"""Of a kernel in float32, relative to its largest entry."""


def drawn_network(
    *, width: int, input_dim: int, output_dim: int, kernel: DrawnKernel | None = None
) -> Network:
    """In the place of the network.

    Args:
        width: N of whatever gave the draws; priors of couplings fall with it.
        input_dim: Numbers in an input.
        output_dim: Outputs at an input.
        kernel: K(x, y) of an output, where it is known.
    """
    description = "draws from elsewhere"
    if isinstance(kernel, NetworkKernel):
        description += f", beside the kernel of {kernel.network!r}"
    architecture = Architecture(
        name=DRAWN,
        description=description,
        prior=_no_prior,
        apply=_no_forward_pass,
        kernel=kernel,
        unknown_kernel=None if kernel is not None else _unknown,
    )
    hp = Hyperparameters(
        width=width, input_dim=input_dim, output_dim=output_dim, bias_std=0.0
    )
    return Network(architecture, hp)


def is_drawn(network: Network) -> bool:
    """Whether there are draws alone of it."""
    return network.architecture.prior is _no_prior


def called(network: Network) -> str:
    """A network as it shows itself; draws have no more than N and a kernel."""
    if not is_drawn(network):
        return repr(network)
    text = "draws" if network.width == 1 else f"draws of N = {network.width:,}"
    known = kernel_network(network)
    return text if known is None else f"{text} beside the kernel of {known!r}"


def recorded_drawn_network(
    record: Mapping[str, Any], kernel: DrawnKernel | None = None
) -> Network:
    """The network that `Network.to_json` describes, beside a kernel."""
    names = ("width", "input_dim", "output_dim")
    return drawn_network(**{name: record[name] for name in names}, kernel=kernel)


def kernel_network(network: Network) -> Network | None:
    """Whose kernel there is beside draws; `None` where it is no network's."""
    kernel = network.architecture.kernel
    return kernel.network if isinstance(kernel, NetworkKernel) else None


def with_table_kernel(network: Network, points: Points, table: Matrix) -> Network:
    """The network with a kernel that is known at these inputs alone."""
    kernel = TableKernel.of(points, np.ascontiguousarray(table, np.float64))
    architecture = replace(network.architecture, kernel=kernel, unknown_kernel=None)
    return replace(network, architecture=architecture)


def known_kernel(given: Kernel, points: Points) -> DrawnKernel:
    """What a user gives for a kernel, as an architecture has it.

    Args:
        given: K(x, y) of two inputs, each (input_dim,); a network, whose kernel it is;
            or its table over the inputs, (point, point).
        points: The inputs.

    Raises:
        SpecError: It is none of these, or the table is of another shape.
    """
    if isinstance(given, Network):
        given.pair_kernel()  # refuses
        return NetworkKernel(given)
    if callable(given):
        return FunctionKernel(given)
    expected = f"({len(points)}, {len(points)}), over the inputs"
    table = real_numbers("entries of `kernel`", given, expected)
    if table.shape != (len(points),) * 2:
        raise SpecError(
            f"`kernel` has shape {table.shape}; expected {expected}, or a function of "
            "two inputs, K(x, y), or a Network"
        )
    return TableKernel.of(points, table)


def check_known_kernel(network: Network, points: Points) -> None:
    """Refuse a kernel that is none, by its table over the inputs.

    Raises:
        SpecError: It cannot be evaluated, or is not symmetric and positive.
    """
    try:
        table = network.kernel(points)
    except (SpecError, UnavailableError):
        raise
    except Exception as error:  # whatever a user's function raises
        raise SpecError(
            f"`kernel` cannot be evaluated ({type(error).__name__}: {error}); expected "
            "a function of two inputs, each (input_dim,), that is written in JAX and "
            "gives one number, such as network.pair_kernel()"
        ) from error
    size = np.abs(table).max()
    if np.abs(table - table.T).max() > _ROUNDING * size:
        raise SpecError("`kernel` is not symmetric over the inputs; a covariance is")
    least = np.linalg.eigvalsh((table + table.T) / 2)[0]
    if least < -_ROUNDING * size:
        raise SpecError(
            f"`kernel` has the eigenvalue {least:.3g} over the inputs; a covariance "
            "has none below zero"
        )


def network_beside(network: Network, kernel: Kernel, points: Points) -> Network:
    """The same draws beside another kernel; arguments as of `known_kernel`.

    Raises:
        SpecError: It is a network of which there are not draws alone, or see
            `known_kernel` and `check_known_kernel`.
    """
    if not is_drawn(network):
        raise SpecError(
            f"the kernel of {network!r} is that of its architecture; only "
            "correlators_from_draws gives correlators that take another"
        )
    known, hp = known_kernel(kernel, points), network.hyperparameters
    made = drawn_network(
        width=hp.width,
        input_dim=hp.input_dim,
        output_dim=hp.output_dim,
        kernel=known,
    )
    check_known_kernel(made, points)
    return made


def table_to_save(network: Network, points: Points) -> Matrix | None:
    """What a file keeps of a kernel that no plugin gives back: its table, or `None`.

    A table is kept whole; of a user's function what it is at the inputs.
    """
    kernel = network.architecture.kernel
    if not isinstance(kernel, (TableKernel, FunctionKernel, NetworkKernel)):
        return None
    return network.kernel(points)


def with_saved_table(network: Network, points: Points, table: Matrix) -> Network:
    """The network of a file with the kernel that the file keeps.

    Raises:
        SpecError: The network was given, and its kernel is another.
    """
    kernel = network.architecture.kernel
    if not isinstance(kernel, (FunctionKernel, NetworkKernel)):
        return with_table_kernel(network, points, table)
    gap = np.abs(network.kernel(points) - table).max()
    if gap > _ROUNDING * np.abs(table).max():
        raise SpecError(
            f"the kernel of the network given is off the one on file by {gap:.3g}; "
            "give the kernel that it was saved with"
        )
    return network


def _unknown(hp: Hyperparameters) -> str:
    return f"no kernel was given beside the draws: {KERNEL_ADVICE}"


def _no_prior(hp: Hyperparameters) -> NoReturn:
    raise UnavailableError(
        "these are draws from elsewhere, and there is no network to draw more of; take "
        "more draws where they are from"
    )


def _no_forward_pass(hp: Hyperparameters, params: Any, x: jax.Array) -> NoReturn:
    _no_prior(hp)
