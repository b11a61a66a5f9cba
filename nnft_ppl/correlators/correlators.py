"""`Correlators`: connected n-point functions of one network, with their errors.

What `measure_correlators` and `exact_correlators` return, and what the effective theory
is fitted to. Tensors are packed (`symmetric.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Int

from nnft_ppl import store
from nnft_ppl._arguments import check_whole
from nnft_ppl._arrays import real_numbers
from nnft_ppl._drawn_network import (
    Kernel,
    called,
    network_beside,
    table_to_save,
    with_saved_table,
)
from nnft_ppl._errors import SpecError
from nnft_ppl._html import card, listed
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Packed, Points
from nnft_ppl.correlators.origin import DRAWS, Origin, origin_of
from nnft_ppl.correlators.symmetric import entries, num_entries, positions
from nnft_ppl.correlators.wick import (
    gaussian_moment,
    moment_from_connected,
    pack_kernel,
)
from nnft_ppl.ensemble.fingerprint import network_record, recorded_network

MIN_EFFECTIVE_BATCHES = 50
"""Error estimates that rest on fewer are off by more than about 15 %."""


@dataclass(frozen=True, eq=False)
class Correlators:
    """Connected correlators of one network at a set of inputs.

    A leg of a correlator is one output at one input; for networks of one output the
    numbers of legs are those of inputs.

    Attributes:
        network: What they belong to.
        x: Inputs, float64 (point, dim).
        orders: Orders present: all from 1 up, or all even ones from 2 up where the
            odd ones vanish.
        estimator: `exact`, `recursion` (to first order in 1/width: no sampling error,
            but an error of its own), `conditional`, `wick` or `moments`.
        num_draws: Networks behind the estimate; 0 when exact.
        connected_values: order -> packed connected correlator, float64.
        joint_covariance: Covariance of all entries of all orders, concatenated, of the
            estimate; zero-size when exact.
        numerical_error: order -> absolute error bound of the numbers themselves:
            quadrature when exact, and with it what the expansion leaves out for
            `recursion`; float32 rounding when measured.
        effective_batches: order -> (entry,) how many batch means the error of each
            entry rests on; below `MIN_EFFECTIVE_BATCHES` a few networks of a heavy tail
            dominate and neither the value nor its error can be trusted. Empty when
            exact.
        num_batches: Batch means that the covariance was estimated from; 0 when exact.
        autocorrelation: order -> (entry,) integrated autocorrelation time in draws, ½
            where they are independent; empty unless the draws are of chains.

    Raises:
        SpecError: A connected correlator is not finite, or an array holds no real
            numbers or has another shape than inputs and outputs give.
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
    autocorrelation: Mapping[int, Packed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse arrays of something else."""
        sizes = {k: num_entries(self.num_legs, k) for k in self.orders}
        for order, size in sizes.items():
            name = f"`connected_values[{order}]`"
            values = _checked(name, self.connected_values[order], (size,))
            bad = np.flatnonzero(~np.isfinite(values))
            if bad.size:
                raise SpecError(
                    f"{name} are {values[bad[0]]} at entry {bad[0]}; expected finite "
                    "numbers"
                )
            name = f"`numerical_error[{order}]`"
            _checked(name, self.numerical_error[order], (size,))
        if not self.is_exact:
            total = sum(sizes.values())
            _checked("`joint_covariance`", self.joint_covariance, (total, total))

    def __repr__(self) -> str:
        """Show what was measured, not the arrays."""
        parts = [] if self.estimator == DRAWS else [self.estimator]
        if not self.is_exact:
            parts.append(f"{self.num_draws:,} draws")
        return (
            f"Correlators({called(self.network)}, {len(self.x)} inputs, "
            f"orders={self.orders}, {', '.join(parts)})"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        rows = [
            ("network", called(self.network)),
            ("inputs", len(self.x)),
            ("orders", listed(self.orders)),
            ("from", self.origin),
            *([] if self.is_exact else [("draws", f"{self.num_draws:,}")]),
        ]
        return card("Correlators", rows)

    @property
    def is_exact(self) -> bool:
        """Whether no sampling was involved; an expansion may still leave orders out."""
        return not self.origin.is_sampled

    @property
    def origin(self) -> Origin:
        """Where the numbers come from; as text in a word or two."""
        return origin_of(self.estimator)

    @property
    def num_outputs(self) -> int:
        """Number of outputs of the network."""
        return self.network.hyperparameters.output_dim

    @property
    def num_legs(self) -> int:
        """Inputs times outputs."""
        return len(self.x) * self.num_outputs

    @property
    def legs(self) -> Int[np.ndarray, "leg 2"]:
        """(leg, 2): input and output of each leg, the output running faster."""
        return np.stack(np.divmod(np.arange(self.num_legs), self.num_outputs), axis=1)

    def entries(self, order: int) -> Int[np.ndarray, "entry order"]:
        """Leg numbers of each entry, `combinations_with_replacement` order."""
        self._check(order)
        return entries(self.num_legs, order)

    def for_output(self, output: int) -> "Correlators":
        """The correlators of one output alone, as of a network that has no other.

        Raises:
            SpecError: There is no such output.
        """
        check_whole("output", output, 0, self.num_outputs - 1)
        legs = np.flatnonzero(self.legs[:, 1] == output)
        kept = {
            k: positions(self.num_legs, legs[entries(len(legs), k)])
            for k in self.orders
        }
        rows = np.concatenate([self._span(k).start + kept[k] for k in self.orders])

        def keep(values: Mapping[int, Packed]) -> dict[int, Packed]:
            return {k: value[kept[k]] for k, value in values.items()}

        hyperparameters = replace(self.network.hyperparameters, output_dim=1)
        return replace(
            self,
            network=replace(self.network, hyperparameters=hyperparameters),
            connected_values=keep(self.connected_values),
            joint_covariance=self.joint_covariance
            if self.is_exact
            else self.joint_covariance[np.ix_(rows, rows)],
            numerical_error=keep(self.numerical_error),
            effective_batches=keep(self.effective_batches),
            autocorrelation=keep(self.autocorrelation),
        )

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
        """One standard error of `connected`; `numerical_error` without sampling."""
        if self.is_exact:
            self._check(order)
            return self.numerical_error[order]
        return np.sqrt(np.maximum(np.diag(self.covariance(order)), 0.0))

    def moment(self, order: int) -> Packed:
        """Full correlator G^(k), packed, from the connected ones (theory.md §1)."""
        self._check(order)
        return moment_from_connected(self.connected_values, self.num_legs, order)[0]

    def error(self, order: int) -> Packed:
        """One standard error of `moment`; from `numerical_error` without sampling."""
        self._check(order)
        jacobian = moment_from_connected(self.connected_values, self.num_legs, order)[1]
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
        """G^(k) of the Gaussian process whose 2-pt function is the network's kernel.

        Where there is a mean, `connected(1)`, the process has the same.
        It is what the network becomes as it widens, where it becomes Gaussian at all:
        see `Network.no_gp_limit`. Outputs are alike and uncorrelated at infinite width:
        the kernel times the unit matrix. Where no kernel is known, the 2-pt function is
        the measured one.
        """
        self._check(order)
        mean = self.connected_values.get(1)
        if self.network.has_kernel:
            kernel = self.network.kernel(self.x)
            kernel = np.kron(kernel, np.eye(self.num_outputs))
            return gaussian_moment(kernel, order, mean)
        kernel = np.zeros((self.num_legs,) * 2)
        rows, columns = entries(self.num_legs, 2).T
        kernel[rows, columns] = kernel[columns, rows] = self.connected(2)
        return gaussian_moment(kernel, order, mean)

    def gaussian_moment_error(self, order: int) -> Packed:
        """Absolute error of `gaussian_moment` from that of the kernel, packed.

        To first order; that of the measured 2-pt function where no kernel is known.
        """
        self._check(order)
        if order == 1:
            return np.zeros(self.num_legs)  # the same mean is on both sides
        if self.network.has_kernel:
            kernel, error = (
                pack_kernel(np.kron(table, np.eye(self.num_outputs)))
                for table in (
                    self.network.kernel(self.x),
                    self.network.kernel_error(self.x),
                )
            )
        else:
            kernel, error = self.connected(2), self.connected_error(2)
        gaussian = {k: np.zeros(num_entries(self.num_legs, k)) for k in self.orders}
        gaussian |= {1: self.connected(1)} if 1 in self.orders else {}
        slopes = moment_from_connected(gaussian | {2: kernel}, self.num_legs, order)[1]
        return np.asarray(np.abs(slopes[2]) @ error)

    def heavy_tailed(self, order: int) -> np.ndarray:
        """(entry,) whether a few networks dominate the estimate and its error."""
        self._check(order)
        if self.is_exact:
            return np.zeros(num_entries(self.num_legs, order), dtype=bool)
        return self.effective_batches[order] < MIN_EFFECTIVE_BATCHES

    def with_kernel(self, kernel: Kernel) -> "Correlators":
        """The same draws beside a kernel, given or another than before.

        Args:
            kernel: As `correlators_from_draws` takes it.

        Raises:
            SpecError: These are no correlators of draws, or the kernel is unusable.
        """
        network = network_beside(self.network, kernel, self.x)
        return replace(self, network=network)

    @property
    def data(self) -> xr.DataTree:
        """Everything as a DataTree: inputs and legs in the root, a child per order."""
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
            if self.autocorrelation:
                times = ("entry", self.autocorrelation[order])
                children[f"order_{order}"]["autocorrelation"] = times
        root = xr.Dataset(
            {
                "x": (("point", "dim"), self.x),
                "legs": (("leg_number", "point_and_output"), self.legs),
            }
        )
        if not self.is_exact:
            root["joint_covariance"] = (("row", "column"), self.joint_covariance)
        table = table_to_save(self.network, self.x)
        if table is not None:
            root["kernel"] = (("point", "other_point"), table)
        root.attrs = store.provenance(
            "correlators",
            **network_record(self.network),
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
        exact = not origin_of(record["estimator"]).is_sampled
        x = store.array(tree, "x")
        recorded = recorded_network(record, network)
        if "kernel" in tree:
            recorded = with_saved_table(recorded, x, store.array(tree, "kernel"))
        autocorrelated = "autocorrelation" in tree[f"order_{orders[0]}"]
        return Correlators(
            network=recorded,
            x=x,
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
            autocorrelation={
                k: store.array(tree, f"order_{k}/autocorrelation") for k in orders
            }
            if autocorrelated
            else {},
        )

    def _check(self, order: int) -> None:
        if order not in self.orders:
            raise SpecError(
                f"order {order!r} is not among the orders {self.orders} present; "
                "ask for it when measuring"
            )

    def _span(self, order: int) -> slice:
        start = sum(num_entries(self.num_legs, k) for k in self.orders if k < order)
        return slice(start, start + num_entries(self.num_legs, order))


def _checked(name: str, given: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array of real numbers of this shape, or SpecError."""
    values = real_numbers(f"values of {name}", given, f"{shape}")
    if values.shape != shape:
        raise SpecError(f"{name} has shape {values.shape}; expected {shape}")
    return values
