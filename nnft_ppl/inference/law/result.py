"""`RunningFit`: the laws by which couplings run, fitted to all cutoffs at once.

What `fit_running` returns: data for ArviZ, a summary with the verdict on the law, and
the law itself at any cutoff.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import arviz_stats as az
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import ArrayLike

from nnft_ppl import store
from nnft_ppl._html import card, listed
from nnft_ppl._latex import formula_html
from nnft_ppl._network import Network
from nnft_ppl._rms import rms
from nnft_ppl._travel import fields_alone
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.flow.exponents import running_alone
from nnft_ppl.eft.integration.pair_sums import check_cutoffs
from nnft_ppl.inference import posterior
from nnft_ppl.inference.verdict import LAW_TOLERANCE, decide


@dataclass(frozen=True, eq=False)
class RunningFit:
    """Posterior draws of one law log|g| = log|g*| + e ℓ + q ℓ²/2 per coupling.

    ℓ = log(Λ/Λ*), with Λ* the geometric mean of the cutoffs.

    Attributes:
        correlators: The data.
        action: What was fitted.
        cutoffs: Λ, finite, sorted.
        has_curvature: Whether q was inferred.
        coupling: (cutoff, operator) least-squares g at each cutoff.
        relative_error: (cutoff, operator) of `coupling`, shared between cutoffs.
        noise: (operator,) the part of it that they do not share and no law could
            follow: root mean square over cutoffs.
        log_amplitude: (chain, draw, operator) log|g*|.
        exponent: (chain, draw, operator) e, at Λ*.
        curvature: (chain, draw, operator) q = de/d log Λ; zero when not inferred.
        scatter: (chain, draw, operator) t, relative misfit of the law.
        statistics: ArviZ name -> (chain, draw).
        inferred_from: As files name it; an earlier version inferred from another.
    """

    correlators: Correlators
    action: Action
    cutoffs: tuple[float, ...]
    has_curvature: bool
    coupling: np.ndarray
    relative_error: np.ndarray
    noise: np.ndarray
    log_amplitude: np.ndarray
    exponent: np.ndarray
    curvature: np.ndarray
    scatter: np.ndarray
    statistics: Mapping[str, np.ndarray]
    inferred_from: str = field(default=posterior.LIKELIHOOD, kw_only=True)

    __getstate__ = fields_alone  # pickle leaves behind what `data` keeps

    def __repr__(self) -> str:
        """Show what was fitted to what, and the exponents."""
        exponents = {
            name: round(float(value), 4)
            for name, value in zip(
                self.action.names, self.exponent.mean(axis=(0, 1)), strict=True
            )
        }
        return (
            f"RunningFit({self.action!r}, {self.correlators!r}, {len(self.cutoffs)} "
            f"cutoffs from {self.cutoffs[0]:g} to {self.cutoffs[-1]:g}, "
            f"exponents={exponents})"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        means = zip(self.action.names, self.exponent.mean(axis=(0, 1)), strict=True)
        rows = [
            ("action", formula_html(self.action.latex())),
            ("data", self.correlators),
            ("cutoffs", listed(self.cutoffs)),
            *((f"exponent of {name}", f"{value:.4f}") for name, value in means),
        ]
        return card("RunningFit", rows)

    @property
    def reference(self) -> float:
        """Λ*."""
        return float(np.exp(np.mean(np.log(self.cutoffs))))

    @cached_property
    def data(self) -> xr.DataTree:
        """Groups posterior, sample_stats and constant_data for ArviZ.

        `posterior`: `amplitude` g* with its sign, `exponent`, `scatter`, and
        `curvature` where inferred, (chain, draw, operator). `constant_data`: the
        couplings at each cutoff and their relative errors, the theory's local exponent
        of each operator alone, and Λ*.
        """
        sampled = ("chain", "draw", "operator")
        at_cutoff = ("cutoff", "operator")
        parameters = {
            "amplitude": (sampled, self._sign * np.exp(self.log_amplitude)),
            "exponent": (sampled, self.exponent),
            "scatter": (sampled, self.scatter),
        }
        if self.has_curvature:
            parameters["curvature"] = (sampled, self.curvature)
        names = {"operator": list(self.action.names)}
        draws = posterior.sample_coordinates(self.exponent)
        tree = xr.DataTree.from_dict(
            {
                "posterior": xr.Dataset(parameters, coords={**draws, **names}),
                "sample_stats": xr.Dataset(
                    {name: (sampled[:2], v) for name, v in self.statistics.items()},
                    coords=draws,
                ),
                "constant_data": xr.Dataset(
                    {
                        "coupling": (at_cutoff, self.coupling),
                        "relative_error": (at_cutoff, self.relative_error),
                        "noise": ("operator", self.noise),
                        "theory": (at_cutoff, self._theory[0]),
                        "reference": self.reference,
                    },
                    coords={"cutoff": list(self.cutoffs), **names},
                ),
            }
        )
        tree.attrs = posterior.provenance(
            "running_fit",
            self.correlators.network,
            self.action,
            has_curvature=self.has_curvature,
            likelihood=self.inferred_from,
        )
        return tree

    def summary(self) -> pd.DataFrame:
        """One row per operator: the law, its misfit, and whether it describes.

        Columns: operator, exponent (posterior mean), exponent_sd, exponent_lower,
        exponent_upper (equal-tailed 90 %), curvature (mean; 0 when not inferred),
        curvature_sd, amplitude (median g*), amplitude_sd (relative), scatter (median
        t), scatter_lower, scatter_upper, theory (straight line through the theory's
        coupling of this operator alone at the same cutoffs), local_first, local_last
        (its local exponents at the smallest and the largest cutoff), rhat, ess_bulk
        (worst over the parameters), num_divergent, verdict: `describes`, `does not
        describe` or `undetermined`, by the interval of the scatter beside 1 %, and by
        how far the couplings lie from the law. One exponent with a scatter above that
        does not describe the running: try `curvature`, or cutoffs above which the local
        exponents have settled.
        """
        tail = 50 * (1 - posterior.INTERVAL)
        rhat, ess = self._convergence()
        local, log_theory = self._theory
        line = np.polyfit(np.log(self.cutoffs), log_theory, 1)[0]
        heavy = any(self.correlators.heavy_tailed(k).any() for k in self.action.orders)
        # From the law closest to them: the draws' own holds the action's ambiguity.
        logs = np.log(np.array(self.cutoffs) / self.reference)
        basis = np.vander(logs, 3 if self.has_curvature else 2)
        couplings = np.log(np.abs(self.coupling))
        left = couplings - basis @ np.linalg.lstsq(basis, couplings, rcond=None)[0]
        rows = []
        for i, name in enumerate(self.action.names):
            exponent, scatter = self.exponent[..., i], self.scatter[..., i]
            lower, median, upper = np.percentile(scatter, [tail, 50, 100 - tail])
            log_amplitude = self.log_amplitude[..., i]
            rows.append(
                {
                    "operator": name,
                    "exponent": exponent.mean(),
                    "exponent_sd": exponent.std(),
                    "exponent_lower": np.percentile(exponent, tail),
                    "exponent_upper": np.percentile(exponent, 100 - tail),
                    "curvature": self.curvature[..., i].mean(),
                    "curvature_sd": self.curvature[..., i].std(),
                    "amplitude": self._sign[i] * np.exp(np.median(log_amplitude)),
                    "amplitude_sd": log_amplitude.std(),
                    "scatter": median,
                    "scatter_lower": lower,
                    "scatter_upper": upper,
                    "theory": line[i],
                    "local_first": local[0, i],
                    "local_last": local[-1, i],
                    "rhat": rhat[i],
                    "ess_bulk": ess[i],
                    "num_divergent": int(self.statistics["diverging"].sum()),
                    "verdict": decide(
                        lower,
                        upper,
                        tolerance=LAW_TOLERANCE,
                        noise=np.inf if heavy else float(self.noise[i]),
                        misfit=rms(left[:, i]),
                        p_value=np.nan,
                        is_inferred=True,
                    ).verdict.value,
                }
            )
        return pd.DataFrame(rows)

    def law(self, cutoffs: ArrayLike) -> xr.DataArray:
        """Draws of g at any finite cutoffs by the fitted law, scatter left out.

        Returns:
            (chain, draw, cutoff, operator).

        Raises:
            SpecError: A cutoff is not a number > 0.
        """
        given = check_cutoffs(cutoffs)
        return xr.DataArray(
            self._sign * np.exp(self._log_law(np.asarray(given))),
            dims=("chain", "draw", "cutoff", "operator"),
            coords={"cutoff": list(given), "operator": list(self.action.names)},
            name="coupling",
        )

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step: draws, couplings and correlators.

        Raises:
            SpecError: An operator or the measure would not come back from its name in
                a file (`Action.check_is_saved`).
        """
        groups = {n: group.to_dataset() for n, group in self.data.children.items()}
        # The logarithm too: an amplitude known to 10⁻⁹ loses digits of its spread.
        groups["posterior"]["log_amplitude"] = (
            ("chain", "draw", "operator"),
            self.log_amplitude,
        )
        posterior.save(
            path,
            self.action,
            {**groups, "correlators": self.correlators.data},
            self.data.attrs,
        )

    @staticmethod
    def from_data(tree: xr.DataTree, network: Network | None = None) -> "RunningFit":
        """Rebuild from what `save` wrote, as `nnft_ppl.load` does."""
        record = store.metadata(tree)
        inferred_from = posterior.recorded_likelihood(record, "fit_running")
        draws = store.child(tree, "posterior")
        constant = store.child(tree, "constant_data")
        exponent = store.array(draws, "exponent")
        fit = RunningFit(
            correlators=Correlators.from_data(
                store.child(tree, "correlators"), network
            ),
            action=Action.from_record(record),
            cutoffs=tuple(store.array(constant, "cutoff").tolist()),
            has_curvature=record["has_curvature"],
            coupling=store.array(constant, "coupling"),
            relative_error=store.array(constant, "relative_error"),
            noise=(
                store.array(constant, "noise")
                if "noise" in constant
                else np.zeros(exponent.shape[-1])  # an earlier version's file
            ),
            log_amplitude=store.array(draws, "log_amplitude"),
            exponent=exponent,
            curvature=(
                store.array(draws, "curvature")
                if record["has_curvature"]
                else np.zeros_like(exponent)
            ),
            scatter=store.array(draws, "scatter"),
            statistics=posterior.saved_statistics(tree),
            inferred_from=inferred_from,
        )
        posterior.check_integrals(
            fit.correlators.network,
            fit.action,
            fit._theory[0],
            store.array(constant, "theory"),
            absolute=1e-6,
        )
        return fit

    @property
    def _sign(self) -> np.ndarray:
        """(operator,) the same at every cutoff."""
        return np.asarray(np.sign(self.coupling[0]))

    def _log_law(self, cutoffs: np.ndarray) -> np.ndarray:
        """(chain, draw, cutoff, operator) log|g| by the law."""
        distance = np.log(cutoffs / self.reference)[:, None]
        return np.asarray(
            self.log_amplitude[:, :, None]
            + self.exponent[:, :, None] * distance
            + self.curvature[:, :, None] * distance**2 / 2
        )

    @cached_property
    def _theory(self) -> tuple[np.ndarray, np.ndarray]:
        """Local exponents and log|g| of each operator alone, (cutoff, operator)."""
        return running_alone(
            self.action,
            self.correlators.network,
            self.correlators.x,
            np.array(self.cutoffs),
        )

    def _convergence(self) -> tuple[np.ndarray, np.ndarray]:
        """Worst rhat and ess_bulk over the parameters of each operator."""
        # Amplitudes that are known to 10⁻⁹ would lose their digits as exponentials.
        parameters = {
            "log_amplitude": self.log_amplitude,
            "exponent": self.exponent,
            "log_scatter": np.log(self.scatter),
        }
        if self.has_curvature:
            parameters["curvature"] = self.curvature
        group = xr.Dataset(
            {k: (("chain", "draw", "operator"), v) for k, v in parameters.items()}
        )
        tree = xr.DataTree.from_dict({"posterior": group})
        rhat, ess = az.rhat(tree), az.ess(tree, method="bulk")
        return (
            np.max([rhat[name].to_numpy() for name in parameters], axis=0),
            np.min([ess[name].to_numpy() for name in parameters], axis=0),
        )
