"""`Results`: what a finished study hands to its report."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from nnft_ppl._network import Network
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.origin import DRAWN
from nnft_ppl.diagnostics.answers import Answers, answer
from nnft_ppl.diagnostics.checks import Check
from nnft_ppl.diagnostics.six_point import SixPoint, six_point
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.report.of_data import DataResults
from nnft_ppl.report.of_training import TrainingResults


@dataclass(frozen=True)
class Target:
    """When the measurements of a study were to stop.

    Attributes:
        relative_error: Of G4c.
        num_draws: Networks behind the fit at most.
    """

    relative_error: float
    num_draws: int


@dataclass(frozen=True, eq=False)
class Approach:
    """What a study without an effective action found: its correlators.

    Attributes:
        name: Stem of the study file.
        text: The study file as run.
        correlators: Of every width and estimator, exact ones included.
        seed: Of every random number.
        versions: Package -> version, of the run.
        target: When measurements were to stop; `None` where their number was fixed.
        data: What was found of data; `None` without any.
        training: What was found of training; `None` without any.
    """

    name: str
    text: str
    correlators: tuple[Correlators, ...]
    seed: int
    versions: Mapping[str, str]
    target: Target | None
    data: DataResults | None
    training: TrainingResults | None

    @property
    def network(self) -> Network:
        """The network, at the largest width."""
        return max((c.network for c in self.correlators), key=lambda net: net.width)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Whether the correlators can be trusted."""
        heavy = [
            f"{c.network.width} ({c.estimator})"
            for c in self.correlators
            if any(c.heavy_tailed(k).any() for k in c.orders)
        ]
        origin = self.correlators[0].origin
        return (
            Check(
                name="heavy_tails",
                value=float(len(heavy)),
                threshold=0.0,
                passed=not heavy,
                message=(
                    f"no correlator is dominated by a few {origin.members}"
                    if not heavy
                    else "a few draws of a heavy tail dominate: take more of them"
                    if origin is DRAWN
                    else "a few networks of a heavy tail dominate correlators at "
                    f"width {', '.join(heavy)}: take more networks, or larger widths"
                ),
            ),
            *(part.check for part in (self.data, self.training) if part),
        )


@dataclass(frozen=True, eq=False)
class DataAlone:
    """What a study of data alone found: no correlators of inputs, no effective action.

    Attributes:
        name: Stem of the study file.
        text: The study file as run.
        data: What was found by conditioning on data; `None` without `[data]`.
        training: What was found by training on data; `None` without `[training]`.
        seed: Of every random number.
        versions: Package -> version, of the run.
    """

    name: str
    text: str
    data: DataResults | None
    training: TrainingResults | None
    seed: int
    versions: Mapping[str, str]

    @property
    def network(self) -> Network:
        """The network whose methods are compared, or that was trained."""
        if self.data is not None:
            return self.data.comparison.exact.network
        assert self.training is not None  # a study is of something
        return self.training.by_width.network

    @property
    def widths(self) -> tuple[int, ...]:
        """Of every network, ascending."""
        if self.data is not None:
            return tuple(post.network.width for post in self.data.posteriors)
        assert self.training is not None
        return self.training.by_width.widths

    @property
    def checks(self) -> tuple[Check, ...]:
        """Whether posteriors and trained networks can be trusted."""
        return tuple(part.check for part in (self.data, self.training) if part)


@dataclass(frozen=True, eq=False)
class Results:
    """Everything a study found.

    Attributes:
        name: Stem of the study file.
        text: The study file as run.
        correlators: Of every width and estimator, exact ones included.
        fit: The couplings; its correlators are the data and hold order 6.
        checks: From `diagnose`.
        comparison: From `compare_actions`, or `None` when not asked for.
        comparison_cutoff: Where the actions were compared.
        tolerance: Relative misfit up to which an action describes the network.
        seed: Of every random number.
        sampling: What the sampler was told: num_warmup, num_samples, num_chains.
        versions: Package -> version, of the run.
        target: When measurements were to stop; `None` where their number was fixed.
        data: What was found of data; `None` without any.
        training: What was found of training; `None` without any.
    """

    name: str
    text: str
    correlators: tuple[Correlators, ...]
    fit: CouplingFit
    checks: tuple[Check, ...]
    comparison: pd.DataFrame | None
    comparison_cutoff: float
    tolerance: float
    seed: int
    sampling: Mapping[str, int]
    versions: Mapping[str, str]
    target: Target | None
    data: DataResults | None
    training: TrainingResults | None

    @property
    def network(self) -> Network:
        """The network whose couplings were inferred."""
        return self.fit.correlators.network

    @cached_property
    def summary(self) -> pd.DataFrame:
        """`fit.summary()`, once."""
        return self.fit.summary()

    @cached_property
    def adequacy(self) -> pd.DataFrame:
        """`fit.adequacy()` at the study's tolerance, once."""
        return self.fit.adequacy(tolerance=self.tolerance)

    @cached_property
    def answers(self) -> Answers:
        """The three questions about the action, answered."""
        return answer(self.fit, tolerance=self.tolerance, comparison=self.comparison)

    @cached_property
    def six_point(self) -> SixPoint:
        """How well the 6-pt function is predicted at the middle cutoff."""
        return six_point(self.fit)
