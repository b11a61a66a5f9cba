"""`TrainedEnsemble`: draws of trained networks at every time that was asked for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float

from nnft_ppl import store
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._html import card, listed
from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.drawn.from_draws import correlators_from_draws
from nnft_ppl.correlators.drawn.units import Moments
from nnft_ppl.correlators.sampled.measurement import four_point_error
from nnft_ppl.ensemble.fingerprint import network_record, recorded_network
from nnft_ppl.training.plan import Plan
from nnft_ppl.training.prediction import Prediction

_TIME = ("time",)
_BLOCK = 1 << 12
"""Networks that are read together."""


@dataclass(frozen=True, eq=False)
class TrainedEnsemble:
    """Networks of one prior, trained on the same data.

    `result[time]` are the correlators of f at the new inputs at one of `times`, its
    mean among them, with errors.

    Attributes:
        network: The prior.
        x: Inputs of the data, float64 (point, dim).
        y: Targets (point, output).
        x_new: New inputs, float64 (new, dim).
        plan: Method, step and times.
        orders: Of the correlators.
        values: f at the new inputs, float32 (time, draw, new, output); of draws in a
            file, a memory map.
        losses: ½ Σ (f − y)², float32 (time, draw).
        limit: What linearised networks of infinite width do at the same times, or
            `None` where their kernels are not known; see `prediction`.
    """

    network: Network
    x: Points
    y: Float[np.ndarray, "point output"]
    x_new: Points
    plan: Plan
    orders: tuple[int, ...]
    values: Float[np.ndarray, "time draw new output"]
    losses: Float[np.ndarray, "time draw"]
    limit: Prediction | None

    def __repr__(self) -> str:
        """Show what was trained, not the arrays."""
        return (
            f"TrainedEnsemble({self.network!r}, {self.plan.method}, {len(self.x)} "
            f"data, {self.num_draws:,} draws, times {list(self.times)})"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        rows = [
            ("network", self.network),
            ("method", self.plan.method),
            ("data, new inputs", f"{len(self.x)}, {len(self.x_new)}"),
            ("draws", f"{self.num_draws:,}"),
            ("times", listed(self.times)),
            ("orders", listed(self.orders)),
        ]
        return card("TrainedEnsemble", rows)

    @property
    def times(self) -> tuple[float, ...]:
        """As asked for: numbers of steps for gradient descent, else t."""
        return self.plan.times

    @property
    def num_draws(self) -> int:
        """How many networks."""
        return int(self.values.shape[1])

    def __len__(self) -> int:
        """How many times."""
        return len(self.times)

    def __iter__(self) -> Iterator[float]:
        """The times, as of a mapping."""
        return iter(self.times)

    def __getitem__(self, time: float) -> Correlators:
        """Correlators of f at the new inputs at one of the times, as of any draws.

        Raises:
            SpecError: It is none of the times.
        """
        return _correlators(self, self._row(time))

    def at(self, time: float) -> Float[np.ndarray, "draw new output"]:
        """Draws of f at the new inputs at one of the times.

        Raises:
            SpecError: It is none of the times.
        """
        return np.asarray(self.values[self._row(time)])

    def _row(self, time: float) -> int:
        if time not in self.times:
            raise SpecError(
                f"there is nothing of time {time!r}; it was trained to the times "
                f"{list(self.times)}"
            )
        return self.times.index(time)

    @property
    def mean(self) -> Float[np.ndarray, "time new output"]:
        """E f."""
        return _moments(self)[0]

    @property
    def mean_error(self) -> Float[np.ndarray, "time new output"]:
        """One standard error of the mean."""
        return np.sqrt(self.variance / self.num_draws)

    @property
    def variance(self) -> Float[np.ndarray, "time new output"]:
        """Var f."""
        return _moments(self)[1]

    @property
    def prediction(self) -> Prediction:
        """Mean and covariance at infinite width, at the same times.

        By linearised networks for gradient flow and descent. For Langevin dynamics, the
        Gaussian process given the data, which follows after a long time.

        Raises:
            UnavailableError: The kernels are not known.
        """
        if self.limit is None:
            raise UnavailableError(
                f"{self.network.name!r} gives no kernel or no tangent kernel here, so "
                "that its limit of infinite width is not known; measure_tangent_kernel "
                "measures the one of its own width"
            )
        return self.limit

    @property
    def data(self) -> xr.DataTree:
        """Everything as a DataTree."""
        at_new = (*_TIME, "new_point", "output")
        dataset = xr.Dataset(
            {
                "values": (("time", "draw", "new_point", "output"), self.values),
                "losses": (("time", "draw"), self.losses),
                "mean": (at_new, self.mean),
                "mean_error": (at_new, self.mean_error),
                "variance": (at_new, self.variance),
                "x": (("point", "dim"), self.x),
                "y": (("point", "output"), self.y),
                "x_new": (("new_point", "dim"), self.x_new),
            },
            coords={"time": np.asarray(self.times, np.float64)},
            attrs=store.provenance(
                "trained_ensemble",
                **network_record(self.network),
                plan=asdict(self.plan),
                orders=list(self.orders),
            ),
        )
        if self.limit is not None:
            dataset["predicted_mean"] = (at_new, self.limit.mean)
            dataset["predicted_covariance"] = (
                (*_TIME, "new_point", "other_new_point"),
                self.limit.covariance,
            )
        return xr.DataTree(dataset)

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step: the file is complete or absent."""
        store.write(self.data, path)

    @staticmethod
    def from_data(
        tree: xr.DataTree, network: Network | None = None
    ) -> "TrainedEnsemble":
        """Rebuild from `data`, with the network where no plugin supplies it."""
        record = store.metadata(tree)
        plan = {**record["plan"], "times": tuple(record["plan"]["times"])}
        limit = None
        if "predicted_mean" in tree:
            limit = Prediction(
                store.array(tree, "predicted_mean"),
                store.array(tree, "predicted_covariance"),
            )
        return TrainedEnsemble(
            network=recorded_network(record, network),
            x=store.array(tree, "x"),
            y=store.array(tree, "y"),
            x_new=store.array(tree, "x_new"),
            plan=Plan(**plan),
            orders=tuple(record["orders"]),
            values=store.array(tree, "values"),
            losses=store.array(tree, "losses"),
            limit=limit,
        )


@lru_cache(maxsize=32)
def _correlators(ensemble: TrainedEnsemble, row: int) -> Correlators:
    return correlators_from_draws(
        ensemble.values[row],
        ensemble.x_new,
        ensemble.orders,
        width=ensemble.network.width,
    )


@lru_cache(maxsize=32)
def _moments(ensemble: TrainedEnsemble) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance, (time, new, output), a block at a time."""
    values, moments = ensemble.values, Moments.none()
    for start in range(0, ensemble.num_draws, _BLOCK):
        part = values[:, start : start + _BLOCK].astype(np.float64)
        moments = moments.plus(np.moveaxis(part, 1, 0))
    return moments.mean, moments.squares / (moments.number - 1)


def largest_error(
    found: Sequence[Correlators], error_of: Callable[[Correlators], float | None] | None
) -> float | None:
    """The largest relative error at any time, `None` where one is not known.

    Args:
        found: At every time.
        error_of: Of one of them; of G4c when `None`.
    """
    errors = [(error_of or _of_four_points)(one) for one in found]
    known = [error for error in errors if error is not None]
    return max(known) if len(known) == len(errors) else None


def _of_four_points(found: Correlators) -> float | None:
    first, second = found.entries(2).T
    return four_point_error(found, found.connected(2)[first == second])
