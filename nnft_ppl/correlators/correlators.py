"""`Correlators`: connected n-point functions of one network, with their errors.

What `measure_correlators` and `exact_correlators` return, and what the effective theory
is fitted to. Tensors are packed (`symmetric.py`).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Int

from nnft_ppl import store
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Packed, Points
from nnft_ppl.correlators.partitions import MAX_ORDER
from nnft_ppl.correlators.symmetric import entries, num_entries
from nnft_ppl.correlators.wick import gaussian_moment, moment_from_connected
from nnft_ppl.registry import network_from_json

MAX_ENTRIES = 20_000
"""Joint covariances beyond this would take more than 3 GB."""
MIN_EFFECTIVE_BATCHES = 50
"""Error estimates that rest on fewer are off by more than about 15 %."""


def check_orders(orders: int | Iterable[int], num_points: int) -> tuple[int, ...]:
    """All even orders from 2 to the largest asked for.

    The lower ones are needed to go between connected and full correlators.

    Raises:
        SpecError: An order is odd, below 2 or above `MAX_ORDER`, or there are too many
            entries.
    """
    allowed = range(2, MAX_ORDER + 1, 2)
    choice = ", ".join(map(str, allowed))
    wanted = (orders,) if isinstance(orders, int) else tuple(orders or ())
    for order in wanted:
        if not isinstance(order, (int, np.integer)) or order not in allowed:
            raise SpecError(
                f"order {order!r} in `orders` is not supported; choose among {choice} "
                "(odd correlators vanish by the symmetry f → −f)"
            )
    if not wanted:
        raise SpecError(f"`orders` is empty; choose among {choice}")
    complete = tuple(range(2, max(wanted) + 1, 2))
    total = sum(num_entries(num_points, k) for k in complete)
    if total > MAX_ENTRIES:
        raise SpecError(
            f"{num_points} inputs have {total} correlator entries up to order "
            f"{max(wanted)}; the limit is {MAX_ENTRIES}: use fewer inputs or orders"
        )
    return complete


@dataclass(frozen=True, eq=False)
class Correlators:
    """Connected correlators of one network at a set of inputs.

    Attributes:
        network: What they belong to.
        x: Inputs, float64 (point, dim).
        orders: Even orders present, from 2 up.
        estimator: `exact`, `conditional`, `wick` or `moments`.
        num_draws: Networks behind the estimate; 0 when exact.
        connected_values: order -> packed connected correlator, float64.
        joint_covariance: Covariance of all entries of all orders, concatenated, of the
            estimate; zero-size when exact.
        numerical_error: order -> absolute error bound of the numbers themselves:
            quadrature when exact, float32 rounding when measured.
        effective_batches: order -> (entry,) how many batch means the error of each
            entry rests on; below `MIN_EFFECTIVE_BATCHES` a few networks of a heavy tail
            dominate and neither the value nor its error can be trusted. Empty when
            exact.
        num_batches: Batch means that the covariance was estimated from; 0 when exact.
    """

    network: Network
    x: Points
    orders: tuple[int, ...]
    estimator: str
    num_draws: int
    connected_values: Mapping[int, Packed]
    joint_covariance: Matrix
    numerical_error: Mapping[int, Packed]
    effective_batches: Mapping[int, Packed]
    num_batches: int

    def __repr__(self) -> str:
        """Show what was measured, not the arrays."""
        how = (
            "exact" if self.is_exact else f"{self.estimator}, {self.num_draws:,} draws"
        )
        return (
            f"Correlators({self.network!r}, {len(self.x)} inputs, "
            f"orders={self.orders}, {how})"
        )

    @property
    def is_exact(self) -> bool:
        """Whether no sampling was involved."""
        return self.estimator == "exact"

    def entries(self, order: int) -> Int[np.ndarray, "entry order"]:
        """Input indices of each entry, `combinations_with_replacement` order."""
        self._check(order)
        return entries(len(self.x), order)

    def connected(self, order: int) -> Packed:
        """Connected correlator G_c^(k), packed (entry,)."""
        self._check(order)
        return self.connected_values[order]

    def covariance(self, order: int) -> Matrix:
        """Covariance (entry, entry) of `connected(order)`; zero when exact."""
        self._check(order)
        span = self._span(order)
        if self.is_exact:
            return np.zeros((span.stop - span.start,) * 2)
        return self.joint_covariance[span, span]

    def joint_block(self, orders: tuple[int, ...]) -> Matrix:
        """Covariance of the connected estimates of `orders`, concatenated."""
        rows = np.concatenate([np.r_[self._span(k)] for k in orders])
        return self.joint_covariance[np.ix_(rows, rows)]

    def connected_error(self, order: int) -> Packed:
        """One standard error of `connected`; when exact, the quadrature's bound."""
        if self.is_exact:
            self._check(order)
            return self.numerical_error[order]
        return np.sqrt(np.maximum(np.diag(self.covariance(order)), 0.0))

    def moment(self, order: int) -> Packed:
        """Full correlator G^(k), packed, from the connected ones (theory.md §1)."""
        self._check(order)
        return moment_from_connected(self.connected_values, len(self.x), order)[0]

    def error(self, order: int) -> Packed:
        """One standard error of `moment`; when exact, the quadrature's bound."""
        self._check(order)
        jacobian = moment_from_connected(self.connected_values, len(self.x), order)[1]
        if self.is_exact:
            return np.sum(
                [np.abs(j) @ self.numerical_error[k] for k, j in jacobian.items()],
                axis=0,
            )
        slopes = np.concatenate([jacobian[k] for k in sorted(jacobian)], axis=1)
        size = slopes.shape[1]
        covariance = self.joint_covariance[:size, :size]
        variance = np.einsum("ei,ij,ej->e", slopes, covariance, slopes, optimize=True)
        # A singular covariance rounds to either side of zero.
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    def gaussian_moment(self, order: int) -> Packed:
        """G^(k) of the GP with this network's kernel (measured if none is known)."""
        self._check(order)
        if self.network.has_kernel:
            return gaussian_moment(self.network.kernel(self.x), order)
        kernel = np.zeros((len(self.x),) * 2)
        rows, columns = entries(len(self.x), 2).T
        kernel[rows, columns] = kernel[columns, rows] = self.connected(2)
        return gaussian_moment(kernel, order)

    def heavy_tailed(self, order: int) -> np.ndarray:
        """(entry,) whether a few networks dominate the estimate and its error."""
        self._check(order)
        if self.is_exact:
            return np.zeros(num_entries(len(self.x), order), dtype=bool)
        return self.effective_batches[order] < MIN_EFFECTIVE_BATCHES

    @property
    def data(self) -> xr.DataTree:
        """Everything as a DataTree: inputs in the root, one child per order."""
        children = {}
        for order in self.orders:
            children[f"order_{order}"] = xr.Dataset(
                {
                    "connected": ("entry", self.connected(order)),
                    "connected_error": ("entry", self.connected_error(order)),
                    "moment": ("entry", self.moment(order)),
                    "error": ("entry", self.error(order)),
                    "gaussian_moment": ("entry", self.gaussian_moment(order)),
                    "numerical_error": ("entry", self.numerical_error[order]),
                    "entries": (("entry", "leg"), self.entries(order)),
                }
            )
            if not self.is_exact:
                batches = ("entry", self.effective_batches[order])
                children[f"order_{order}"]["effective_batches"] = batches
        root = xr.Dataset({"x": (("point", "dim"), self.x)})
        if not self.is_exact:
            root["joint_covariance"] = (("row", "column"), self.joint_covariance)
        root.attrs = store.provenance(
            "correlators",
            network=json.loads(self.network.to_json()),
            estimator=self.estimator,
            num_draws=self.num_draws,
            num_batches=self.num_batches,
            orders=list(self.orders),
        )
        return xr.DataTree.from_dict({"/": root, **children})

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step: the file is complete or absent."""
        store.write(self.data, path)

    @staticmethod
    def from_data(tree: xr.DataTree, network: Network | None = None) -> "Correlators":
        """Rebuild from `data`, with the network where no plugin supplies it."""
        record = store.metadata(tree)
        orders = tuple(record["orders"])
        exact = record["estimator"] == "exact"
        return Correlators(
            network=network_from_json(record["network"], network),
            x=store.array(tree, "x"),
            orders=orders,
            estimator=record["estimator"],
            num_draws=record["num_draws"],
            connected_values={
                k: store.array(tree, f"order_{k}/connected") for k in orders
            },
            joint_covariance=np.zeros((0, 0))
            if exact
            else store.array(tree, "joint_covariance"),
            numerical_error={
                k: store.array(tree, f"order_{k}/numerical_error") for k in orders
            },
            effective_batches={}
            if exact
            else {k: store.array(tree, f"order_{k}/effective_batches") for k in orders},
            num_batches=record["num_batches"],
        )

    def _check(self, order: int) -> None:
        if order not in self.orders:
            raise SpecError(
                f"order {order!r} is not among the orders {self.orders} present; "
                "ask for it when measuring"
            )

    def _span(self, order: int) -> slice:
        start = sum(num_entries(len(self.x), k) for k in self.orders if k < order)
        return slice(start, start + num_entries(len(self.x), order))
