r"""A kernel that is an average over networks, for where no closed form gives one.

.. math:: K(x, y) = σ_b^2 + \frac1M \sum_m \frac{σ_w^2}{F} \sum_j φ_{mj}(x) φ_{mj}(y)

over M networks m that have F features φ and a linear readout; of others, the mean of
f_m(x) f_m(y) over networks and outputs. Where f and −f may not be alike it is the 2-pt
function less the mean: of output weights with the mean κ_1 σ_w/√F the above times
1 − κ_1², and the covariance of κ_1 σ_w/√F Σ_j φ_mj over networks; of others that of
f_m. Each is the Gram matrix of what is averaged, so that K is positive semidefinite on
any inputs, without bias the 2-pt function at the network's own width, and
differentiable as far as the network is.

In: an architecture and `KernelDraws`. Out: the kernel as a function, its tables and
their error. Of networks nothing is kept, they are drawn anew for every table; the last
tables are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from nnft_ppl._compile import compiled
from nnft_ppl._pair_table import all_pairs
from nnft_ppl._typing import Key, Matrix, Params, Points
from nnft_ppl.architecture import Architecture, Hyperparameters, Readout

type _Products = tuple[jax.Array, ...]
"""Sums over networks: Σ_j φ φ', and where there may be a mean its product and itself at
either input."""

NUM_BLOCKS = 12
"""Blocks by whose scatter the error is told: to a fifth."""
_KEPT_SIZE = 1 << 17
"""Numbers in a table that is kept: 1 MB."""
_KEPT_TABLES = 16 * NUM_BLOCKS
"""Enough for the integrals of a fit, whose blocks share their nodes with the whole."""


@dataclass(frozen=True)
class KernelDraws:
    """The networks that a measured kernel is the average of.

    Network j is a function of the key and j alone.

    Attributes:
        num_draws: M, a multiple of `NUM_BLOCKS`.
        words: The two words of the threefry key.
        left_out: The block that does not count, for the jackknife; none when `None`.
    """

    num_draws: int
    words: tuple[int, int]
    left_out: int | None = None

    @property
    def key(self) -> Key:
        """The key."""
        words = jnp.asarray(self.words, jnp.uint32)
        return jax.random.wrap_key_data(words, impl="threefry2x32")

    @property
    def block_size(self) -> int:
        """Networks of one block."""
        return self.num_draws // NUM_BLOCKS

    @property
    def blocks(self) -> list[int]:
        """Numbers of the blocks that count."""
        return [block for block in range(NUM_BLOCKS) if block != self.left_out]


@dataclass(frozen=True)
class MeasuredKernel:
    """The mean of the networks' kernels, as a function of two flat inputs.

    Attributes:
        architecture: Its prior, and its readout or else its outputs, are used.
        hyperparameters: At which.
        draws: Over which networks.
    """

    architecture: Architecture
    hyperparameters: Hyperparameters
    draws: KernelDraws

    def __hash__(self) -> int:
        """Options are a mapping, which has no hash."""
        return hash((self.architecture.name, self.draws))

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """K(x, y) of one pair of inputs, each (input_dim,), for JAX to transform."""
        size = self.draws.block_size
        spans = [np.arange(b * size, (b + 1) * size) for b in self.draws.blocks]
        key = self.draws.key
        if self._may_have_mean:  # each block about its own, as in tables
            numbers = jnp.asarray(np.stack(spans), jnp.uint32)
            found: jax.Array = jax.lax.map(
                lambda own: self.mean(key, own, x, y), numbers
            )
            return found.mean()
        return self.mean(key, jnp.asarray(np.concatenate(spans), jnp.uint32), x, y)

    def table(self, rows: Points, columns: Points) -> Matrix:
        """K over two sets of inputs, float64."""
        return np.asarray(np.mean(self._tables(rows, columns), axis=0))

    def error(self, rows: Points, columns: Points) -> Matrix:
        """One standard error of `table`."""
        scatter = np.std(self._tables(rows, columns), axis=0, ddof=1)
        return np.asarray(scatter / NUM_BLOCKS**0.5)

    def _tables(self, rows: Points, columns: Points) -> list[Matrix]:
        """K of each block that counts."""
        small = len(rows) * len(columns) <= _KEPT_SIZE
        table = _kept_table if small else _block_table
        kernel = replace(self, draws=replace(self.draws, left_out=None))
        there = _Sets(rows.tobytes(), columns.tobytes(), rows.shape[1])
        return [table(kernel, block, there) for block in self.draws.blocks]

    def mean(
        self, key: Key, numbers: jax.Array, x: jax.Array, y: jax.Array
    ) -> jax.Array:
        """K(x, y) by the networks of these numbers of a key."""
        architecture, hp = self.architecture, self.hyperparameters
        make = architecture.readout
        readout = None if make is None else make(hp)

        @jax.checkpoint  # lest a derivative keeps the features of all networks
        def product(number: jax.Array, x: jax.Array, y: jax.Array) -> _Products:
            seeded = handlers.seed(architecture.prior, jax.random.fold_in(key, number))
            params = seeded(hp)
            here, there = (
                _factor(architecture, hp, readout, params, point) for point in (x, y)
            )
            square = jnp.dot(here, there, precision="highest")
            if not self._may_have_mean:
                return (square,)
            if readout is None:  # of outputs
                return 0 * square, square, here, there
            means = [
                _weight_mean(readout) * factor.sum(keepdims=True)
                for factor in (here, there)
            ]
            share = 1 - _weight_mean(readout) ** 2
            return share * square, jnp.dot(*means), *means

        def add(total: _Products, number: jax.Array) -> tuple[_Products, None]:
            return jax.tree.map(jnp.add, total, product(number, x, y)), None

        zeros = jax.tree.map(
            lambda part: jnp.zeros(part.shape, part.dtype),
            jax.eval_shape(product, numbers[0], x, y),
        )
        (total, *others), _ = jax.lax.scan(add, zeros, numbers)
        bias = 0.0 if readout is None else readout.bias_std**2
        kernel: jax.Array = total / len(numbers) + bias
        if others:
            square, here, there = others
            common = jnp.dot(here, there, precision="highest") / len(numbers)
            kernel = kernel + (square - common) / (len(numbers) - 1)
        return kernel

    @property
    def _may_have_mean(self) -> bool:
        """Whether f and −f may not be alike, but for the mean of an output bias."""
        make = self.architecture.readout
        readout = None if make is None else make(self.hyperparameters)
        if readout is None:
            return "sign" not in self.architecture.symmetries
        return readout.odd_weight_moment is not None


def _weight_mean(readout: Readout) -> float:
    """Of one output weight, over its root mean square."""
    assert readout.odd_weight_moment is not None  # the caller has seen to it
    return float(readout.odd_weight_moment(1))


def _factor(
    architecture: Architecture,
    hp: Hyperparameters,
    readout: Readout | None,
    params: Params,
    x: jax.Array,
) -> jax.Array:
    """What one network's kernel, less the output bias, is the Gram matrix of."""
    point = x.reshape(hp.input_shape)
    if readout is None:
        outputs = architecture.apply(hp, params, point)
        return jnp.asarray(outputs / len(outputs) ** 0.5)
    features = readout.features(params, point)
    return jnp.asarray(readout.weight_std / len(features) ** 0.5 * features)


class _Sets(NamedTuple):
    """Two sets of inputs as float64 bytes, and their dimension."""

    rows: bytes
    columns: bytes
    dim: int


def _block_table(kernel: MeasuredKernel, block: int, sets: _Sets) -> Matrix:
    """K of one block."""
    draws = kernel.draws
    program = _block_program(
        replace(kernel, draws=KernelDraws(draws.num_draws, (0, 0)))
    )
    rows, columns = (
        np.frombuffer(part).reshape(-1, sets.dim) for part in (sets.rows, sets.columns)
    )
    with jax.enable_x64(True):
        first = jnp.uint32(block * draws.block_size)
        there = jnp.asarray(rows), jnp.asarray(columns)
        return np.asarray(program(draws.key, first, *there))


_kept_table = lru_cache(maxsize=_KEPT_TABLES)(_block_table)


@lru_cache(maxsize=32)
def _block_program(kernel: MeasuredKernel) -> Callable[..., jax.Array]:
    """(key, first network, rows, columns) -> table of a block; compiled once a shape.

    Args:
        kernel: Its key plays no part.
    """
    size = kernel.draws.block_size

    def table(
        key: Key, first: jax.Array, rows: jax.Array, columns: jax.Array
    ) -> jax.Array:
        numbers = first + jnp.arange(size, dtype=jnp.uint32)
        pair = all_pairs(lambda x, y: kernel.mean(key, numbers, x, y))
        return pair(rows, columns)

    return compiled(table)
