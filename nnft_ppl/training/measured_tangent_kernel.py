"""The tangent kernel of networks of finite width: its mean and how it fluctuates.

In: any network and inputs. Out: `MeasuredTangentKernel`, from J Jᵀ of every draw, J by
automatic differentiation. Networks are streamed and none is kept.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.sharding import Mesh
from jaxtyping import ArrayLike, Float

from nnft_ppl import store
from nnft_ppl._arguments import check_choice, check_kind
from nnft_ppl._compile import compiled
from nnft_ppl._errors import SpecError
from nnft_ppl._html import card
from nnft_ppl._network import Network
from nnft_ppl._tangent_kernel import PARAMETRIZATIONS
from nnft_ppl._typing import Key, Matrix, Packed, Points
from nnft_ppl.correlators.symmetric import entries, num_entries
from nnft_ppl.ensemble.device_sizes import DeviceSizes, sizes_of
from nnft_ppl.ensemble.fingerprint import network_record, recorded_network
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import (
    Stream,
    check_key,
    check_num_draws,
    check_prior,
    narrow_inputs,
)
from nnft_ppl.ensemble.not_finite import (
    NotFiniteError,
    not_finite,
    which_are_not_finite,
)
from nnft_ppl.ensemble.outputs import check_outputs
from nnft_ppl.ensemble.progress import Monitor, Pace, watching
from nnft_ppl.training.gradients import linearised
from nnft_ppl.training.network_blocks import block_of, network_blocks, over_chunks
from nnft_ppl.training.standardised import sites_of

GROUPS = 10
"""Groups of networks by whose scatter the error of the fluctuations is told."""
_MAX_ENTRIES = 5_000
"""Their covariance takes 200 MB."""


@dataclass(frozen=True, eq=False)
class MeasuredTangentKernel:
    """Θ = J Jᵀ over many networks.

    A leg is one output at one input, the output running faster; `entries` are the pairs
    of legs in `combinations_with_replacement` order.

    Attributes:
        network: What was drawn.
        x: Inputs, float64 (point, dim).
        parametrization: `ntk` or `standard`, as in `Network.tangent_kernel`.
        num_draws: How many networks.
        values: (entry,) mean of Θ.
        covariance: (entry, entry) of Θ from network to network, unbiased; that of the
            mean is smaller by `num_draws`.
        variances_by_group: (group, entry) the same variances of a tenth of the networks
            each.
    """

    network: Network
    x: Points
    parametrization: str
    num_draws: int
    values: Packed
    covariance: Matrix
    variances_by_group: Float[np.ndarray, "group entry"]

    def __repr__(self) -> str:
        """Show what was measured, not the arrays."""
        return (
            f"MeasuredTangentKernel({self.network!r}, {len(self.x)} inputs, "
            f"{self.parametrization}, {self.num_draws:,} draws)"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        rows = [
            ("network", self.network),
            ("inputs", len(self.x)),
            ("parametrization", self.parametrization),
            ("draws", f"{self.num_draws:,}"),
        ]
        return card("MeasuredTangentKernel", rows)

    @property
    def num_legs(self) -> int:
        """Inputs times outputs."""
        return len(self.x) * self.network.hyperparameters.output_dim

    @property
    def entries(self) -> np.ndarray:
        """(entry, 2) pairs of legs."""
        return entries(self.num_legs, 2)

    @property
    def mean(self) -> Matrix:
        """E Θ, (leg, leg)."""
        return self._table(self.values)

    @property
    def mean_error(self) -> Matrix:
        """One standard error of `mean`."""
        return np.asarray(self.std / self.num_draws**0.5)

    @property
    def std(self) -> Matrix:
        """Standard deviation of Θ from network to network, (leg, leg)."""
        return self._table(np.sqrt(np.diag(self.covariance)))

    @property
    def std_error(self) -> Matrix:
        """One standard error of `std`, from the scatter of ten groups of networks."""
        scatter = self.variances_by_group.std(axis=0, ddof=1) / GROUPS**0.5
        std = np.sqrt(np.diag(self.covariance))
        error = np.divide(scatter, 2 * std, out=np.zeros_like(std), where=std > 0)
        return self._table(error)

    def _table(self, packed: Packed) -> Matrix:
        table = np.zeros((self.num_legs,) * 2)
        rows, columns = self.entries.T
        table[rows, columns] = table[columns, rows] = packed
        return table

    @property
    def data(self) -> xr.DataTree:
        """Everything as a DataTree."""
        dataset = xr.Dataset(
            {
                "x": (("point", "dim"), self.x),
                "values": ("entry", self.values),
                "covariance": (("entry", "other_entry"), self.covariance),
                "variances_by_group": (("group", "entry"), self.variances_by_group),
                "entries": (("entry", "leg"), self.entries),
            },
            attrs=store.provenance(
                "tangent_kernel",
                **network_record(self.network),
                parametrization=self.parametrization,
                num_draws=self.num_draws,
            ),
        )
        return xr.DataTree(dataset)

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step: the file is complete or absent."""
        store.write(self.data, path)

    @staticmethod
    def from_data(
        tree: xr.DataTree, network: Network | None = None
    ) -> "MeasuredTangentKernel":
        """Rebuild from `data`, with the network where no plugin supplies it."""
        record = store.metadata(tree)
        names = ("values", "covariance", "variances_by_group")
        return MeasuredTangentKernel(
            recorded_network(record, network),
            store.array(tree, "x"),
            record["parametrization"],
            record["num_draws"],
            *(store.array(tree, name) for name in names),
        )


def measure_tangent_kernel(
    network: Network,
    x: ArrayLike,
    *,
    num_draws: int = 1000,
    key: Key,
    parametrization: str = "ntk",
    devices: Sequence[jax.Device] | int | None = None,
    progress: bool | Monitor = False,
) -> MeasuredTangentKernel:
    """The tangent kernel at the network's own width, by automatic differentiation.

    Θ(x, y) = Σ ∂f(x)/∂ω ∂f(y)/∂ω over all parameters θ = μ + σω of one draw. A normal
    site gives its own μ and σ; of any other of finite variance σ is the standard
    deviation of its law. In the standard parametrisation gradients are those by θ.
    Parameters of σ = 0 are fixed.

    Args:
        network: Any; a user's by an adapter, too.
        x: Inputs (point, input_dim), finite.
        num_draws: Networks, 20 or more.
        key: A JAX random key; network j is the one of `sample_ensemble`.
        parametrization: `ntk` or `standard`.
        devices: Devices of this process to use, or how many; all when `None`.
        progress: Show a progress bar, on a terminal or in a notebook, or a function
            that is told.

    Returns:
        `MeasuredTangentKernel`: mean, fluctuations, and errors of both.

    Raises:
        SpecError: An argument is unusable, or networks give NaN or overflow.
        UnavailableError: A site has no standard deviation, or no single one in the
            standard parametrisation.
        PluginError: The prior does not run under NumPyro, or what the architecture's
            functions return is not real or of a wrong shape.

    Source: Jacot et al., arXiv:1806.07572; fluctuations of order 1/width: Huang and
    Yau, arXiv:1909.08156; Dyer and Gur-Ari, arXiv:1909.11304.
    """
    check_kind("network", network, Network)
    points = network.check_inputs(x)
    num_draws = check_num_draws(num_draws, 2 * GROUPS)
    key = check_key(key)
    check_choice("parametrization", parametrization, PARAMETRIZATIONS)
    used = choose_devices(devices)
    check_prior(network)
    check_outputs(network)
    sites_of(network).rates(parametrization)  # refuses
    size = num_entries(len(points) * network.hyperparameters.output_dim, 2)
    if size > _MAX_ENTRIES:
        raise SpecError(
            f"{len(points)} inputs make {size} entries of a tangent kernel, and their "
            f"covariance is taken up to {_MAX_ENTRIES}; use fewer inputs"
        )
    inputs = jnp.asarray(narrow_inputs(points))
    sums, done, pace = _Sums.zero(size), 0, Pace(0)
    with watching(progress, "tangent kernel") as monitor:
        for part in tangent_kernel_blocks(
            network,
            inputs,
            parametrization,
            "all",
            key=key,
            num_draws=num_draws,
            devices=used,
        ):
            bad = which_are_not_finite(part)
            if bad.any():
                raise NotFiniteError(not_finite(network, bad, done))
            sums.add(part.astype(np.float64), done, num_draws)
            done += len(part)
            if monitor is not None:
                monitor(pace.at(done, num_draws, None))
    mean, covariance, by_group = sums.moments()
    return MeasuredTangentKernel(
        network, points, parametrization, num_draws, mean, covariance, by_group
    )


@dataclass(eq=False)
class _Sums:
    """Sums over networks, of all and by group, relative to the first one."""

    counts: np.ndarray
    first: np.ndarray
    values: np.ndarray
    squares: np.ndarray
    products: np.ndarray

    @staticmethod
    def zero(size: int) -> "_Sums":
        """Over no networks."""
        by_group = np.zeros((GROUPS, size))
        products = np.zeros((size, size))
        return _Sums(
            np.zeros(GROUPS), np.zeros(size), by_group, by_group.copy(), products
        )

    def add(self, part: np.ndarray, start: int, num_draws: int) -> None:
        """Networks from `start` on; their group is a matter of their number."""
        if start == 0:
            self.first = part[0]
        part = part - self.first
        group = (np.arange(start, start + len(part)) * GROUPS) // num_draws
        np.add.at(self.counts, group, 1)
        np.add.at(self.values, group, part)
        np.add.at(self.squares, group, part**2)
        self.products += part.T @ part

    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, covariance, and variances by group."""
        number, counts = self.counts.sum(), self.counts[:, None]
        mean = self.values.sum(axis=0) / number
        covariance = self.products - number * np.outer(mean, mean)
        by_group = self.squares - self.values**2 / counts
        return (
            self.first + mean,
            covariance / (number - 1),
            by_group / (counts - 1),
        )


def tangent_kernel_blocks(
    network: Network,
    inputs: jax.Array,
    parametrization: str,
    train: str,
    *,
    key: Key,
    num_draws: int,
    devices: tuple[jax.Device, ...],
) -> Generator[np.ndarray, None, None]:
    """(network, entry) Θ of each network, block by block."""
    sizes = sizes_of(devices[0])

    def program(
        streams: Stream,
        starts: np.ndarray,
        chunks: np.ndarray,
        mesh: Mesh,
        chunk: int,
        max_chunks: int,
    ) -> jax.Array:
        return _tangent_kernels(
            streams,
            starts,
            chunks,
            inputs,
            mesh,
            network,
            parametrization,
            train,
            sizes,
            chunk,
            max_chunks,
        )

    num_legs = len(inputs) * network.hyperparameters.output_dim
    block = block_of(network, len(inputs), 3 + num_legs, num_draws, devices)
    return network_blocks(
        program,
        network,
        len(inputs),
        range(0, num_draws, block),
        key=key,
        devices=devices,
    )


def _tangent_kernel_piece(
    streams: Stream,
    starts: ArrayLike,
    chunks: ArrayLike,
    points: jax.Array,
    mesh: Mesh,
    network: Network,
    parametrization: str,
    train: str,
    sizes: DeviceSizes,
    chunk: int,
    max_chunks: int,
) -> jax.Array:
    """Packed Θ, (device, chunk, entry, network)."""
    sites = sites_of(network)
    rates = sites.rates(parametrization, train)
    rows, columns = entries(len(points) * network.hyperparameters.output_dim, 2).T

    def of_chunk(stream: Stream, numbers: jax.Array) -> jax.Array:
        drawn = sites.draw(stream, numbers, sizes)

        def one(values: dict[str, jax.Array]) -> jax.Array:
            found = linearised(sites, values, points, rates)
            return found.tangent_kernel()[rows, columns]

        return jax.vmap(one, out_axes=-1)(drawn)

    return over_chunks(of_chunk, streams, starts, chunks, mesh, chunk, max_chunks)


_tangent_kernels = compiled(
    _tangent_kernel_piece,
    ("mesh", "network", "parametrization", "train", "sizes", "chunk", "max_chunks"),
)
