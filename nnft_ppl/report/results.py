"""`Results`: what a finished study hands to its report."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from nnft_ppl._network import Network
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.diagnostics.checks import Check
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.plots.prediction import chosen_cutoffs


@dataclass(frozen=True, eq=False)
class SixPoint:
    """The 6-pt function at the inputs of the fit, mean over entries, relative.

    Attributes:
        cutoff: Where the prediction was made.
        predicted: Mean of |predicted − measured| / |measured|, posterior mean.
        gaussian: The same for the Gaussian process.
        noise: Mean of one standard error of the measurement; 0 when exact.
        is_fitted: Whether 6-pt data entered the fit, so that this is no prediction.
    """

    cutoff: float
    predicted: float
    gaussian: float
    noise: float
    is_fitted: bool


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
    """

    name: str
    text: str
    correlators: tuple[Correlators, ...]
    seed: int
    versions: Mapping[str, str]
    target: Target | None

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
        return (
            Check(
                name="heavy_tails",
                value=float(len(heavy)),
                threshold=0.0,
                passed=not heavy,
                message=(
                    "no correlator is dominated by a few networks"
                    if not heavy
                    else "a few networks of a heavy tail dominate correlators at width "
                    f"{', '.join(heavy)}: take more networks, or larger widths"
                ),
            ),
        )


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
        seed: Of every random number.
        sampling: What the sampler was told: num_warmup, num_samples, num_chains.
        versions: Package -> version, of the run.
        target: When measurements were to stop; `None` where their number was fixed.
    """

    name: str
    text: str
    correlators: tuple[Correlators, ...]
    fit: CouplingFit
    checks: tuple[Check, ...]
    comparison: pd.DataFrame | None
    comparison_cutoff: float
    seed: int
    sampling: Mapping[str, int]
    versions: Mapping[str, str]
    target: Target | None

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
        """`fit.adequacy()`, once."""
        return self.fit.adequacy()

    @cached_property
    def six_point(self) -> SixPoint:
        """How well the 6-pt function is predicted at the middle cutoff."""
        shown = chosen_cutoffs(self.fit.cutoffs)
        cutoff = shown[len(shown) // 2]
        data = self.fit.correlators
        measured, gaussian = data.moment(6), data.gaussian_moment(6)
        predicted = self.fit.predict(6, cutoffs=[cutoff]).values.mean(axis=(0, 1, 2))

        def relative(difference: np.ndarray) -> float:
            return float(np.mean(np.abs(difference) / np.abs(measured)))

        return SixPoint(
            cutoff=cutoff,
            predicted=relative(predicted - measured),
            gaussian=relative(gaussian - measured),
            noise=0.0 if data.is_exact else relative(data.error(6)),
            is_fitted=6 in self.fit.likelihood.orders,
        )
