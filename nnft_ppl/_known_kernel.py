"""Kernels that a user gives: a function of two inputs, or a table over some inputs.

In: either. Out: what serves as `Architecture.kernel`, and what is said where a table
does not reach.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.architecture import Hyperparameters

KERNEL_ADVICE = (
    "give `kernel=` a function of two inputs, K(x, y) written in JAX, or take "
    "Empirical(x) at these inputs (`--measure empirical`) for the measure of an action"
)
"""What to do where a kernel is wanted at inputs at which it is not known."""


@dataclass(frozen=True)
class TableKernel:
    """A kernel known at some inputs alone: a function of two that is NaN elsewhere.

    Attributes:
        points: Bytes of the inputs, float64 (point, dim).
        values: Bytes of the table, float64 (point, point).
        num_points: How many.
    """

    points: bytes
    values: bytes
    num_points: int

    @staticmethod
    def of(points: Points, values: Matrix) -> "TableKernel":
        """Of these inputs and this table."""
        return TableKernel(points.tobytes(), values.tobytes(), len(points))

    @property
    def table(self) -> Matrix:
        """The table, (point, point)."""
        return np.frombuffer(self.values).reshape(self.num_points, -1)

    def between(self, rows: Points, columns: Points) -> Matrix:
        """The kernel over two sets of inputs, (row, column)."""
        points = np.frombuffer(self.points).reshape(self.num_points, -1)
        first, second = (
            (part[:, None] == points).all(axis=-1) for part in (rows, columns)
        )
        known = np.multiply.outer(first.any(axis=1), second.any(axis=1))
        return np.where(known, first @ self.table @ second.T, np.nan)

    def __call__(self, hp: Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
        """K(x, y), as `Architecture.kernel`."""
        points = jnp.asarray(
            np.frombuffer(self.points).reshape(self.num_points, -1), x.dtype
        )
        row, column = ((points == z.reshape(1, -1)).all(axis=1) for z in (x, y))
        value = jnp.where(
            row[:, None] & column[None, :], jnp.asarray(self.table, x.dtype), 0
        )
        return jnp.where(row.any() & column.any(), value.sum(), jnp.nan)


@dataclass(frozen=True)
class FunctionKernel:
    """A user's function of two flat inputs as `Architecture.kernel`."""

    function: Callable[[jax.Array, jax.Array], jax.Array]

    def __call__(self, hp: Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
        """K(x, y)."""
        return self.function(x.reshape(-1), y.reshape(-1))


type KnownKernel = TableKernel | FunctionKernel


def check_kernel_is_finite(
    whose: object, kernel: object, values: Matrix, rows: Points, columns: Points
) -> None:
    """Refuse a table of a kernel that holds NaN or infinity.

    Args:
        whose: For the message.
        kernel: `Architecture.kernel`.
        values: (row, column).
        rows: Inputs.
        columns: Inputs.

    Raises:
        UnavailableError: The kernel is known at other inputs alone.
        SpecError: It is not finite.
    """
    bad = np.argwhere(~np.isfinite(values))
    if not len(bad):
        return
    row, column = bad[0]
    where = f"at inputs {rows[row].tolist()} and {columns[column].tolist()}"
    if isinstance(kernel, TableKernel):
        raise UnavailableError(
            "the kernel is known at the data's own inputs alone; "
            f"{KERNEL_ADVICE}; of a network, nnft_ppl.measured_kernel gives one"
        )
    raise SpecError(
        f"the kernel of {whose!r} is {values[row, column]} {where}; use inputs of "
        "moderate size"
    )
