"""`Study`: a validated study file, everything that a run needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from nnft_ppl import store
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key, Points
from nnft_ppl.eft.action import Action
from nnft_ppl.registry import load_registry
from nnft_ppl.study.data_table import DataTable
from nnft_ppl.study.orders import ALL, EVEN
from nnft_ppl.study.training_table import TrainingTable

_KERNEL, _DATA, _TRAINING = 3, 4, 5
"""Numbers of keys; smaller ones are of what else is measured."""


def kernel_key(seed: int) -> Key:
    """The random key of the measured kernel of a study."""
    return jax.random.fold_in(seed_key(seed), _KERNEL)


def data_key(seed: int) -> Key:
    """The random key of the posteriors of a study, the same at every width."""
    return jax.random.fold_in(seed_key(seed), _DATA)


def training_key(seed: int) -> Key:
    """The random key of the training of a study, folded with each width."""
    return jax.random.fold_in(seed_key(seed), _TRAINING)


@dataclass(frozen=True, eq=False)
class EnsembleTable:
    """[ensemble]: how many networks, and how the correlators are estimated.

    Attributes:
        num_draws: Networks per width; with a target error, at most.
        target_error: A measurement by the estimator, that of the data of the fit
            included, stops once the relative error of G4c is at most this; `None` to go
            on to the last network.
        seed: Fixes every random number of the study.
        orders: Of the correlators measured; from `study.orders`.
        estimator: See `measure_correlators`.
        plain_draws: Networks per width for the plain products of outputs, the route of
            arXiv:2008.08601, shown beside the other; 0 leaves it out.
        kernel_draws: Networks that the kernel is measured on; `None` where it is the
            architecture's own, or nothing needs one.
        file: Draws that take the place of networks drawn here, or `None`.
        chains: Whether their first axis counts Markov chains; `None` without a file.
        digest: Of the file, by which a changed one is known.
    """

    num_draws: int
    target_error: float | None
    seed: int
    orders: tuple[int, ...]
    estimator: str
    plain_draws: int
    kernel_draws: int | None
    file: Path | None = None
    chains: bool | None = None
    digest: str | None = None

    def record(self) -> dict[str, Any]:
        """As JSON values; what is not asked for is as it was before it could be."""
        fields = {k: v for k, v in vars(self).items() if v is not None}
        usual = EVEN if self.file is None else ALL
        left_out = {"file"} | ({"orders"} if self.orders == usual else set())
        fields["orders"] = list(self.orders)
        return {k: v for k, v in fields.items() if k not in left_out}


@dataclass(frozen=True, eq=False)
class EftTable:
    """[eft]: what is fitted, where.

    Attributes:
        width: Width of the network whose couplings are inferred.
        points: Inputs of the fit.
        action: The action that is fitted.
        cutoffs: Λ of every fit, ascending.
        candidates: Actions to compare; empty for none.
        comparison_cutoff: Where they are compared.
        tolerance: Relative misfit up to which an action describes the network.
        num_draws: Networks behind the correlators that are fitted; with a target error,
            at most.
        data: `measured`, or `exact` to fit the exact correlators.
        sampler: `nuts` or `conjugate`.
        num_warmup: Adaptation steps of each chain.
        num_samples: Draws kept of each chain.
        num_chains: Number of chains.
    """

    width: int
    points: Points
    action: Action
    cutoffs: tuple[float, ...]
    candidates: tuple[Action, ...]
    comparison_cutoff: float
    tolerance: float
    num_draws: int
    data: str
    sampler: str
    num_warmup: int
    num_samples: int
    num_chains: int

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "width": self.width,
            "points": self.points.tolist(),
            **self.action.record(),
            "cutoffs": [str(c) for c in self.cutoffs],
            "candidates": [list(a.names) for a in self.candidates],
            "comparison_cutoff": str(self.comparison_cutoff),
            "tolerance": self.tolerance,
            "num_draws": self.num_draws,
            "data": self.data,
            "sampler": self.sampler,
            "num_warmup": self.num_warmup,
            "num_samples": self.num_samples,
            "num_chains": self.num_chains,
        }


@dataclass(frozen=True, eq=False)
class Study:
    """A validated study: everything that `run_study` needs.

    Attributes:
        name: Stem of the study file.
        text: The study file, as read.
        network: The network at the width of the fit; without one, at that of the data;
            without either, at the largest.
        widths: Widths measured for the approach to the Gaussian process, and those
            conditioned on data and trained, ascending.
        points: Inputs measured at every width; `None` where data alone are studied.
        ensemble: The [ensemble] table.
        eft: The [eft] table; `None` to study the approach to the Gaussian process
            alone.
        data: The [data] table; `None` where nothing is conditioned.
        training: The [training] table; `None` where nothing is trained.
        directory: Where the run goes.
    """

    name: str
    text: str
    network: Network
    widths: tuple[int, ...]
    points: Points | None
    ensemble: EnsembleTable
    eft: EftTable | None
    data: DataTable | None
    training: TrainingTable | None
    directory: Path

    def record(self) -> dict[str, Any]:
        """What decides the results, as JSON values: inputs from files included."""
        hp = self.network.hyperparameters
        points = None if self.points is None else self.points.tolist()
        return {
            "network": {
                "architecture": self.network.name,
                "input_dim": self.network.input_dim,
                "weight_std": hp.weight_std,
                "bias_std": hp.bias_std,
                "options": self.network.options,
                "widths": list(self.widths),
            },
            "inputs": {"points": points},
            "ensemble": self.ensemble.record(),
            "eft": None if self.eft is None else self.eft.record(),
            **({} if self.data is None else {"data": self.data.record()}),
            **({} if self.training is None else {"training": self.training.record()}),
        }

    def versions(self) -> dict[str, str]:
        """Versions of the packages, and of the plugins used, that make the numbers."""
        actions = () if self.eft is None else (self.eft.action, *self.eft.candidates)
        used = {self.network.name}.union(*(action.names for action in actions))
        owners = {p.distribution for p in load_registry().plugins if p.name in used}
        split = (owner.rpartition(" ") for owner in sorted(owners))
        plugins = {name.replace("-", "_"): version for name, _, version in split}
        return {**plugins, **store.versions()}
