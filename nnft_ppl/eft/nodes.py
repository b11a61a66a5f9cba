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
from nnft_ppl._network import Network
from nnft_ppl._typing import Points

type Table = Callable[[jax.Array, jax.Array], jax.Array]


class Nodes:
    """Quadrature nodes y with the propagator K_W and its derivatives there, float64.

    Args:
        network: Its kernel is used.
        sources: Points x whose propagators are wanted, (source, dim).
        position: y, (node, dim).
        weight: Quadrature weight of the measure, (node,).
        padded: Number of nodes that kernel calls are padded to.
    """

    def __init__(
        self,
        network: Network,
        sources: Points,
        position: Points,
        weight: Float[np.ndarray, " node"],
        padded: int,
    ) -> None:
        """Keep the nodes; no kernel is evaluated yet."""
        self.position = position
        self.weight = weight
        self._network = network
        self._sources = sources
        self._padded = padded

    @cached_property
    def propagator(self) -> Float[np.ndarray, "source node"]:
        """K_W(x, y)."""
        table = self._network.propagator(self._sources, self._padding())
        return table[:, : len(self.position)]

    @cached_property
    def gradient(self) -> Float[np.ndarray, "source dim node"]:
        """∂K_W(x, y)/∂y_a.

        Raises:
            SpecError: The kernel is not differentiable at a node.
        """
        return self._table("gradient", _gradient(self._network), self._sources)

    @cached_property
    def variance(self) -> Float[np.ndarray, " node"]:
        """K_W(y, y)."""
        table = self._table("variance", _variance(self._network), np.zeros(0))
        return np.asarray(table - self._network.output_bias_variance)

    @cached_property
    def mixed(self) -> Float[np.ndarray, "dim node"]:
        """∂K_W(y, y')/∂y'_a at y' = y: E[f ∂_a f] of the free theory."""
        return self._table("gradient", _mixed(self._network), np.zeros(0))

    @cached_property
    def gradient_covariance(self) -> Float[np.ndarray, "dim dim node"]:
        """∂²K_W(y, y')/∂y_a∂y'_b at y' = y: E[∂_a f ∂_b f] of the free theory."""
        return self._table("gradient", _gradient_covariance(self._network), np.zeros(0))

    def _padding(self) -> Points:
        """The positions, the last one repeated up to the padded size."""
        missing = self._padded - len(self.position)
        return np.pad(self.position, ((0, missing), (0, 0)), mode="edge")

    def _table(self, what: str, program: Table, sources: np.ndarray) -> np.ndarray:
        """Run a compiled table in float64; nodes come last.

        Raises:
            SpecError: An element is not finite.
        """
        with jax.enable_x64(True):
            values = program(jnp.asarray(sources), jnp.asarray(self._padding()))
            table = np.asarray(values, dtype=np.float64)[..., : len(self.position)]
        if not np.isfinite(table).all():
            node = np.argwhere(~np.isfinite(table))[0][-1]
            reason = (
                "an operator with derivatives needs a differentiable kernel; write the "
                "kernel so that its JAX derivative is finite, or leave such operators "
                "out"
                if what == "gradient"
                else "use a smaller cutoff"
            )
            raise SpecError(
                f"the {what} of the kernel of {self._network!r} is not finite at "
                f"{self.position[node].tolist()}; {reason}"
            )
        return table


def _kernel(network: Network) -> Table:
    """The kernel of two single points."""
    network.kernel(np.zeros((1, network.hyperparameters.input_dim)))  # refuses if none
    single, hp = network.architecture.kernel, network.hyperparameters
    assert single is not None
    return lambda x, y: single(hp, x, y)


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
