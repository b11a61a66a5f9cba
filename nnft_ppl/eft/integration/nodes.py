"""One block of quadrature nodes and the kernel tables that diagrams need at them.

In: positions and weights. Out: `Nodes`, whose tables are computed when first asked for
and kept as long as the block is. Every block of a quadrature is padded to one size, so
each table is compiled once per network and number of sources.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._compile import compiled
from nnft_ppl._errors import SpecError
from nnft_ppl._host import on_host
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points

_TRIED_POINTS = 4
_TRIED_STEPS = 24  # halvings
_COMPARED = 4  # halvings between the two steps that are compared
_SETTLED = 2.5  # 1/h gives 16, a derivative 1

type Table = Callable[[jax.Array, jax.Array], jax.Array]


class KernelTables:
    """The kernel of one network from fixed sources to any block of nodes, float64.

    Args:
        network: Its kernel is used.
        sources: Points x whose propagators are wanted, (source, dim).
        block: Number of nodes that calls are padded to.
    """

    def __init__(self, network: Network, sources: Points, block: int) -> None:
        """Keep what every block needs."""
        self.network = network
        self.sources = sources
        self.block = block

    def propagator(self, nodes: Points) -> Matrix:
        """K_W(x, y), (source, node)."""
        with on_host():
            table = self.network.propagator(self.sources, self._padded(nodes))
        return table[:, : len(nodes)]

    def variance(self, nodes: Points) -> Float[np.ndarray, " node"]:
        """K_W(y, y)."""
        table = self._run(_variance(self.network), nodes, "use a smaller cutoff")
        return np.asarray(table - self.network.output_bias_variance)

    def derivative(
        self, program: Callable[[Network], Table], nodes: Points
    ) -> np.ndarray:
        """A table that holds derivatives, nodes last.

        Raises:
            SpecError: The field has no derivative, or JAX finds none.
        """
        require_differentiable(self.network, self.sources.shape, self.sources.tobytes())
        return self._run(
            program(self.network),
            nodes,
            "an operator with derivatives needs a kernel with a finite JAX derivative; "
            "write the kernel so, or leave such operators out",
        )

    def _padded(self, nodes: Points) -> Points:
        """The nodes, the last one repeated up to the block size."""
        return np.pad(nodes, ((0, self.block - len(nodes)), (0, 0)), mode="edge")

    def _run(self, program: Table, nodes: Points, remedy: str) -> np.ndarray:
        """Values of a compiled table.

        Raises:
            SpecError: One is not finite.
        """
        with on_host(), jax.enable_x64(True):
            values = program(
                jnp.asarray(self.sources), jnp.asarray(self._padded(nodes))
            )
            table = np.asarray(values, dtype=np.float64)[..., : len(nodes)]
        if not np.isfinite(table).all():
            node = np.argwhere(~np.isfinite(table))[0][-1]
            raise SpecError(
                f"the kernel of {self.network!r} or its derivative is not finite at "
                f"{nodes[node].tolist()}; {remedy}"
            )
        return table


class Nodes:
    """Quadrature nodes y with the propagator K_W and its derivatives there.

    Every table is computed when first asked for and kept as long as the nodes are.

    Args:
        tables: The kernel.
        position: y, (node, dim).
        weight: Quadrature weight of the measure, (node,).
    """

    def __init__(
        self,
        tables: KernelTables,
        position: Points,
        weight: Float[np.ndarray, " node"],
    ) -> None:
        """Keep the nodes; no kernel is evaluated yet."""
        self.position = position
        self.weight = weight
        self._tables = tables

    @cached_property
    def propagator(self) -> Float[np.ndarray, "source node"]:
        """K_W(x, y)."""
        return self._tables.propagator(self.position)

    @cached_property
    def gradient(self) -> Float[np.ndarray, "source dim node"]:
        """∂K_W(x, y)/∂y_a; `SpecError` where the kernel is not differentiable."""
        return self._tables.derivative(_gradient, self.position)

    @cached_property
    def variance(self) -> Float[np.ndarray, " node"]:
        """K_W(y, y)."""
        return self._tables.variance(self.position)

    @cached_property
    def mixed(self) -> Float[np.ndarray, "dim node"]:
        """∂K_W(y, y')/∂y'_a at y' = y: E[f ∂_a f] of the free theory."""
        return self._tables.derivative(_mixed, self.position)

    @cached_property
    def gradient_covariance(self) -> Float[np.ndarray, "dim dim node"]:
        """∂²K_W(y, y')/∂y_a∂y'_b at y' = y: E[∂_a f ∂_b f] of the free theory."""
        return self._tables.derivative(_gradient_covariance, self.position)


@lru_cache(maxsize=64)
def require_differentiable(
    network: Network, shape: tuple[int, int], points: bytes
) -> None:
    """Raise `SpecError` where the field has no derivative in the mean square.

    E[(f(y + h/2) − f(y − h/2))²]/h² must settle as h shrinks; for a kernel like
    exp(−|x − y|), or a step as activation, it grows as 1/h. Tried at the points and at
    the origin, along one direction that no axis is.

    Args:
        network: The network.
        shape: Shape of the points, (point, dim).
        points: Their float64 bytes.

    Raises:
        SpecError: It does not settle.
    """
    given = np.frombuffer(points).reshape(shape)
    centres = np.concatenate([given[:_TRIED_POINTS], np.zeros((1, shape[1]))])
    direction = np.sqrt(np.arange(1.0, shape[1] + 1))
    direction /= np.linalg.norm(direction)
    steps = np.ldexp(np.abs(given).max() or 1.0, -np.arange(4, 4 + _TRIED_STEPS))
    offsets = np.multiply.outer(steps / 2, direction)
    for centre in centres:
        ends = np.concatenate([centre - offsets, centre + offsets])
        table = network.propagator(ends)
        before, after = np.split(table.diagonal(), 2)
        cross = table[: len(steps), len(steps) :].diagonal()
        rate = (before - 2 * cross + after) / steps**2
        rounding = 8 * np.finfo(np.float64).eps * (before + after) / steps**2
        clear = np.flatnonzero(rate > 1e3 * rounding)
        if len(clear) <= _COMPARED:
            continue  # the field hardly changes here
        growth = rate[clear[-1]] / rate[clear[-1] - _COMPARED]
        if growth > _SETTLED:
            raise SpecError(
                f"the field of {network!r} has no derivative at {centre.tolist()}: "
                f"E[(f(y + h) − f(y))²]/h² grows {growth:.3g}-fold when h shrinks "
                f"{2**_COMPARED}-fold to {steps[clear[-1]]:.1e}; an operator with "
                "derivatives needs a differentiable kernel, so leave such operators out"
            )


def _kernel(network: Network) -> Table:
    """The kernel of two single points."""
    return network.pair_kernel()


@lru_cache(maxsize=32)
def _gradient(network: Network) -> Table:
    """(source, dim), (node, dim) -> (source, dim, node)."""
    at_node = jax.vmap(jax.grad(_kernel(network), argnums=1), (None, 0), 1)
    return compiled(jax.vmap(at_node, (0, None)))


@lru_cache(maxsize=32)
def _variance(network: Network) -> Table:
    """(ignored), (node, dim) -> (node,)."""
    kernel = _kernel(network)
    return compiled(lambda _, nodes: jax.vmap(lambda y: kernel(y, y))(nodes))


@lru_cache(maxsize=32)
def _mixed(network: Network) -> Table:
    """(ignored), (node, dim) -> (dim, node)."""
    single = jax.grad(_kernel(network), argnums=1)
    return compiled(lambda _, nodes: jax.vmap(lambda y: single(y, y), 0, 1)(nodes))


@lru_cache(maxsize=32)
def _gradient_covariance(network: Network) -> Table:
    """(ignored), (node, dim) -> (dim, dim, node)."""
    single = jax.jacfwd(jax.grad(_kernel(network), argnums=0), argnums=1)
    return compiled(lambda _, nodes: jax.vmap(lambda y: single(y, y), 0, 2)(nodes))
