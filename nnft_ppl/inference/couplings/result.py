"""`CouplingFit`: the posterior of the couplings at each cutoff, and what follows.

What `fit_couplings` returns: data for ArviZ, summaries, the verdict, predictions of
higher correlators, the running.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from nnft_ppl import store
from nnft_ppl._network import Network
from nnft_ppl._travel import fields_alone
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.eft.action import Action
from nnft_ppl.inference import posterior
from nnft_ppl.inference.adequacy import predictive_p_value, relative_misfit
from nnft_ppl.inference.couplings.arviz_tree import build_groups, stack
from nnft_ppl.inference.couplings.omitted_orders import TruncationPrior
from nnft_ppl.inference.couplings.prediction import predict_moment, predict_shifted
from nnft_ppl.inference.couplings.running import measure_running
from nnft_ppl.inference.likelihood import Likelihood, build_likelihood
from nnft_ppl.inference.posterior import INTERVAL, cutoff_number
from nnft_ppl.inference.priors import Parameters, Prior
from nnft_ppl.inference.verdict import TOLERANCE, check_tolerance, decide, fits_noise


@dataclass(frozen=True, eq=False)
class CouplingFit:
    """Posterior draws of the couplings of one action at one or many cutoffs.

    Attributes:
        correlators: The data.
        action: What was fitted.
        cutoffs: Λ of each fit.
        likelihood: The problem in natural units.
        prior: Its scales.
        sampler: `nuts` or `conjugate`.
        has_discrepancy: Whether the model discrepancy was inferred.
        dimensionless: c, (chain, draw, cutoff, operator); g = c / likelihood.scale.
        discrepancy: s, (chain, draw, cutoff); zero when not inferred.
        natural_size: τ, (chain, draw, cutoff); the prior's own when its spread is zero.
        statistics: ArviZ name -> (chain, draw, cutoff); empty for `conjugate`.
        log_evidence: (cutoff,) log p(data) in closed form, natural units.
        seed: Words that fix the predictive draws.
        inferred_from: As files name it; an earlier version inferred from another.
    """

    correlators: Correlators
    action: Action
    cutoffs: tuple[float, ...]
    likelihood: Likelihood
    prior: Prior
    sampler: str
    has_discrepancy: bool
    dimensionless: np.ndarray
    discrepancy: np.ndarray
    natural_size: np.ndarray
    statistics: Mapping[str, np.ndarray]
    log_evidence: np.ndarray
    seed: tuple[int, ...]
    inferred_from: str = field(default=posterior.LIKELIHOOD, kw_only=True)

    __getstate__ = fields_alone  # pickle leaves behind what `data` keeps

    def __repr__(self) -> str:
        """Show what was fitted to what, and the verdict."""
        verdicts = ", ".join(dict.fromkeys(self.adequacy()["verdict"]))
        return (
            f"CouplingFit({self.action}, {self.correlators!r}, "
            f"cutoffs={list(self.cutoffs)}, sampler={self.sampler!r}, "
            f"verdict={verdicts!r})"
        )

    @cached_property
    def data(self) -> xr.DataTree:
        """All cutoffs as one DataTree for ArviZ, with a `cutoff` dimension.

        Groups: posterior, sample_stats, prior, prior_predictive, posterior_predictive,
        observed_data, constant_data, log_likelihood, log_prior. Give ArviZ's loo,
        psense and predictive plots one cutoff: `at`. Predictive draws and pointwise
        likelihoods of all cutoffs are large; `at` makes those of one.
        """
        groups = [self._groups(which) for which in range(len(self.cutoffs))]
        tree = stack(self.cutoffs, groups)
        tree.attrs = self._provenance()
        return tree

    def at(self, cutoff: float) -> xr.DataTree:
        """One cutoff's own DataTree, without the `cutoff` dimension.

        Raises:
            SpecError: The fit has no such cutoff.
        """
        return xr.DataTree.from_dict(self._groups(cutoff_number(self.cutoffs, cutoff)))

    def _groups(self, which: int) -> dict[str, xr.Dataset]:
        """The groups of one cutoff; the same random numbers at every cutoff."""
        return build_groups(
            self.likelihood,
            which,
            self.prior,
            self.correlators.network.width,
            self.action,
            len(self.correlators.x),
            Parameters(
                self.dimensionless[:, :, which],
                self.discrepancy[:, :, which] if self.has_discrepancy else None,
                self.natural_size[:, :, which] if self.prior.is_hierarchical else None,
            ),
            self.centre(which),
            {name: values[:, :, which] for name, values in self.statistics.items()},
            np.random.default_rng(self.seed),
        )

    def centre(self, which: int) -> np.ndarray:
        """(operator,) couplings c about which quadratic predictions are linearised."""
        if self.likelihood.is_linear:
            return np.zeros(len(self.action.names))
        return np.asarray(self.dimensionless[:, :, which].mean(axis=(0, 1)))

    def summary(self, *, tolerance: float = TOLERANCE) -> pd.DataFrame:
        """One row per cutoff and operator: estimates, convergence, verdict.

        Columns: cutoff, operator, mean, sd, lower, upper (equal-tailed 90 %), rhat,
        ess_bulk, ess_tail, num_divergent, verdict, reason. The mean, sd and interval
        are of the coupling g; the last two are those of `adequacy`.
        """
        table = posterior.coupling_table(self.at, self.cutoffs, self.action.names)
        adequacy = self.adequacy(tolerance=tolerance)
        number = len(self.action.names)
        return table.assign(
            **{
                c: np.repeat(adequacy[c].to_numpy(), number)
                for c in ("verdict", "reason")
            }
        )

    def adequacy(self, *, tolerance: float = TOLERANCE) -> pd.DataFrame:
        """One row per cutoff: does this action describe this network here?

        First, does it fit within the noise of the data? Columns: cutoff, p_value (χ² of
        the action's best couplings with sampling noise alone; NaN where there is none),
        fits_noise (whether p_value is 10⁻³ or more; `None` where it is NaN),
        modes_resolved (modes of the data in which sampling noise exceeds rounding).

        Then, how far is it off, beside what is tolerated? Columns: discrepancy (median
        of s), discrepancy_lower, discrepancy_upper (equal-tailed 90 %), relative_noise
        (rms sampling error of the data over their rms; infinite when a heavy tail hides
        it), relative_misfit (rms distance of the fit over the rms of the data, noise
        included), tolerance, verdict, and reason, what decided it.

        Args:
            tolerance: Relative misfit up to which the action describes the network.

        Raises:
            SpecError: `tolerance` is not a number > 0.
        """
        tolerance = check_tolerance(tolerance)
        rows = []
        tail = 50 * (1 - INTERVAL)
        heavy = any(
            self.correlators.heavy_tailed(k).any() for k in self.likelihood.orders
        )
        noise = np.inf if heavy else self.likelihood.relative_noise
        for which, cutoff in enumerate(self.cutoffs):
            lower, median, upper = np.percentile(
                self.discrepancy[..., which], [tail, 50, 100 - tail]
            )
            mean = self.dimensionless[:, :, which].mean(axis=(0, 1))
            misfit = relative_misfit(self.likelihood, which, mean)
            p_value = (
                predictive_p_value(self.likelihood, which, mean)
                if self.correlators.origin.error or not self.has_discrepancy
                else np.nan
            )
            decision = decide(
                lower,
                upper,
                tolerance=tolerance,
                noise=noise,
                misfit=misfit,
                p_value=p_value,
                is_inferred=self.has_discrepancy,
            )
            rows.append(
                {
                    "cutoff": cutoff,
                    "p_value": p_value,
                    "fits_noise": fits_noise(p_value),
                    "modes_resolved": int(self.likelihood.resolved.sum()),
                    "discrepancy": median,
                    "discrepancy_lower": lower,
                    "discrepancy_upper": upper,
                    "relative_noise": noise,
                    "relative_misfit": misfit,
                    "tolerance": tolerance,
                    "verdict": decision.verdict.value,
                    "reason": decision.reason.value,
                }
            )
        return pd.DataFrame(rows)

    def predict(
        self,
        order: int,
        cutoffs: float | Sequence[float] | None = None,
        *,
        truncation: bool = False,
    ) -> xr.DataArray:
        """Posterior predictive of the full correlator G^(k) at the fitted inputs.

        The sum over partitions of the legs, up to the power of 1/N of the action's
        largest operator. With four fields: G4 = Σ_3 KK + G4c, G6 = Σ_15 KKK +
        Σ_15 K G4c, G8 = Σ_105 KKKK + Σ_210 KK G4c. With six: G6 gains G6c, and G8
        gains Σ_28 K G6c + Σ_35 G4c G4c. The connected parts come from the couplings
        with the model discrepancy added, and are zero where the action has no operator
        of that order. G2 is the kernel; in the bare scheme, the kernel and the
        first-order shift by the operators. With three fields G3 = G3c, and beside four
        G4c holds their trees, and G6 gains Σ_10 G3c G3c.

        Where the action makes the mean (an operator of one field) it is in all of
        these; else they are of the field less its mean.

        Args:
            order: 2, 4, 6 or 8; any from 1 to 8 where an operator has an odd number of
                fields.
            cutoffs: One or several of the fit's cutoffs; all when `None`.
            truncation: Add draws of what the powers of 1/N left out may be
                (docs/truncation.md); else they count as zero.

        Returns:
            (chain, draw, cutoff, entry) float64.

        Source: theory.md §4; for the truncation `omitted_orders`.

        Raises:
            SpecError: Order not supported, or no such cutoff.
            UnavailableError: `truncation` with an operator of an odd number of fields.
        """
        given = self.cutoffs if cutoffs is None else cutoffs
        wanted = (given,) if isinstance(given, (int, float)) else tuple(given)
        which = [cutoff_number(self.cutoffs, cutoff) for cutoff in wanted]
        if order in self._shifted_orders():
            couplings = self.dimensionless / self.likelihood.scale
            draws = predict_shifted(
                self.correlators, self.action, wanted, couplings[:, :, which], order
            )
        else:
            draws = predict_moment(
                self.correlators,
                self.likelihood,
                self.dimensionless,
                self.discrepancy,
                order,
                which,
                np.random.default_rng((*self.seed, order)),
                truncation=TruncationPrior() if truncation else None,
            )
        return xr.DataArray(
            draws,
            dims=("chain", "draw", "cutoff", "entry"),
            coords={"cutoff": list(wanted)},
            name=f"moment_{order}",
        )

    def _shifted_orders(self) -> tuple[int, ...]:
        """Orders that the bare scheme shifts and that are no data."""
        if not self.action.is_bare:
            return ()
        has_odd = any(k % 2 for k in self.action.orders)
        return (1, 2) if has_odd and not self.action.makes_mean else (2,)

    def running(self) -> xr.Dataset:
        """The running of each coupling, measured beside the theory's.

        Returns:
            `exponent` (chain, draw, cutoff, operator): d log|g|/d log Λ by differences
            between neighbouring finite cutoffs; `slope` (chain, draw, operator): the
            straight line through all finite cutoffs. `theory` (cutoff, operator): the
            local value −d log I/d log Λ; `theory_exponent` (cutoff, operator) and
            `theory_slope` (operator): the theory's couplings differenced and fitted in
            the same way, which is what to compare `exponent` and `slope` with. NaN
            where there are fewer than two finite cutoffs, except `theory`.

        Source: theory.md §5.
        """
        return measure_running(
            self.action,
            self.correlators,
            self.cutoffs,
            self.dimensionless / self.likelihood.scale,
        )

    def save(self, path: str | Path) -> None:
        """Write as netCDF: draws and correlators; the other groups follow from them.

        Raises:
            SpecError: An operator or the measure would not come back from its name in
                a file (`Action.check_is_saved`).
        """
        coords = {"cutoff": list(self.cutoffs), "operator": list(self.action.names)}
        sampled = ("chain", "draw", "cutoff")
        draws = xr.Dataset(
            {
                "coupling": (
                    (*sampled, "operator"),
                    self.dimensionless / self.likelihood.scale,
                ),
                "dimensionless": ((*sampled, "operator"), self.dimensionless),
                "discrepancy": (sampled, self.discrepancy),
                "natural_size": (sampled, self.natural_size),
            },
            coords=coords,
        )
        groups: dict[str, xr.Dataset | xr.DataTree] = {
            "posterior": draws,
            "sample_stats": xr.Dataset(
                {name: (sampled, v) for name, v in self.statistics.items()}
            ),
            "evidence": xr.Dataset(
                {
                    "log_evidence": ("cutoff", self.log_evidence),
                    "scale": (("cutoff", "operator"), self.likelihood.scale),
                }
            ),
            "correlators": self.correlators.data,
        }
        posterior.save(path, self.action, groups, self._provenance())

    @staticmethod
    def from_data(tree: xr.DataTree, network: Network | None = None) -> "CouplingFit":
        """Rebuild from what `save` wrote, as `nnft_ppl.load` does."""
        record = store.metadata(tree)
        inferred_from = posterior.recorded_likelihood(record, "fit_couplings")
        correlators = Correlators.from_data(store.child(tree, "correlators"), network)
        action = Action.from_record(record)
        draws = store.child(tree, "posterior")
        cutoffs = tuple(store.array(draws, "cutoff").tolist())
        # A fixed natural size need not be in the file, and early ones leave it out.
        prior = Prior(**{"spread": 0.0, **record["prior"]})
        size = (
            store.array(draws, "natural_size")
            if prior.is_hierarchical
            else np.full(draws["discrepancy"].shape, prior.natural_size)
        )
        likelihood = build_likelihood(correlators, action, cutoffs)
        scale = store.array(tree, "evidence/scale")
        posterior.check_integrals(correlators.network, action, likelihood.scale, scale)
        return CouplingFit(
            correlators=correlators,
            action=action,
            cutoffs=cutoffs,
            likelihood=likelihood,
            prior=prior,
            sampler=record["sampler"],
            has_discrepancy=record["has_discrepancy"],
            dimensionless=store.array(draws, "dimensionless"),
            discrepancy=store.array(draws, "discrepancy"),
            natural_size=size,
            statistics=posterior.saved_statistics(tree),
            log_evidence=store.array(tree, "evidence/log_evidence"),
            seed=tuple(record["seed"]),
            inferred_from=inferred_from,
        )

    def _provenance(self) -> dict[str, str]:
        return posterior.provenance(
            "fit",
            self.correlators.network,
            self.action,
            prior=asdict(self.prior),
            sampler=self.sampler,
            has_discrepancy=self.has_discrepancy,
            seed=list(self.seed),
            likelihood=self.inferred_from,
        )
