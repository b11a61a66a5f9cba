"""`FunctionSpaceFit`: the posterior of the couplings given raw outputs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from nnft_ppl import store
from nnft_ppl._html import card, listed
from nnft_ppl._latex import formula_html
from nnft_ppl._network import Network
from nnft_ppl._travel import fields_alone
from nnft_ppl._typing import Points
from nnft_ppl.eft.action import Action
from nnft_ppl.ensemble.fingerprint import recorded_network
from nnft_ppl.inference import posterior
from nnft_ppl.inference.outputs.design import scaled_design
from nnft_ppl.inference.priors import Prior

_SAMPLED = ("chain", "draw", "cutoff")


@dataclass(frozen=True, eq=False)
class FunctionSpaceFit:
    """Posterior draws of the couplings of one action at one or many cutoffs.

    Attributes:
        network: What was drawn.
        x: Inputs (point, dim).
        num_draws: Networks in the ensemble.
        action: What was fitted.
        cutoffs: Λ of each fit.
        prior: Its scales.
        scale: (cutoff, operator) c = g · scale.
        dimensionless: c, (chain, draw, cutoff, operator).
        statistics: ArviZ name -> (chain, draw, cutoff).
        bound: (cutoff, operator) posterior standard deviation of c at the Gaussian
            process, the information of all draws and the prior together: what no
            unbiased use of the outputs alone beats when the couplings are small.
        p_value: (cutoff,) of the misfit that the best couplings of this action leave in
            the mean Hermite functions of the kept modes; small when the action does not
            describe the network at the scales that the draws resolve.
        negative_at_mean: (cutoff,) share of networks where the bracket is negative at
            the posterior mean.
        negative_over_posterior: (cutoff,) the same share, averaged over the posterior.
        modes_kept: Eigenmodes of the kernel that were used.
        modes_dropped: Eigenmodes left out.
    """

    network: Network
    x: Points
    num_draws: int
    action: Action
    cutoffs: tuple[float, ...]
    prior: Prior
    scale: np.ndarray
    dimensionless: np.ndarray
    statistics: Mapping[str, np.ndarray]
    bound: np.ndarray
    p_value: np.ndarray
    negative_at_mean: np.ndarray
    negative_over_posterior: np.ndarray
    modes_kept: int
    modes_dropped: int

    __getstate__ = fields_alone  # pickle leaves behind what `data` keeps

    def __repr__(self) -> str:
        """Show what was fitted to what."""
        return (
            f"FunctionSpaceFit({self.action!r}, {self.network!r}, {len(self.x)} inputs "
            f"({self.modes_kept} modes kept), {self.num_draws:,} draws, "
            f"cutoffs={list(self.cutoffs)})"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        rows = [
            ("action", formula_html(self.action.latex())),
            ("network", self.network),
            ("inputs", f"{len(self.x)} ({self.modes_kept} modes kept)"),
            ("draws", f"{self.num_draws:,}"),
            ("cutoffs", listed(self.cutoffs)),
        ]
        return card("FunctionSpaceFit", rows)

    @property
    def negative_fraction(self) -> pd.DataFrame:
        """Share of networks with a negative bracket: cutoff, at_mean, over_posterior.

        Where it is not zero the first order has broken down for these networks, and
        the likelihood continues the bracket by convention.
        """
        return pd.DataFrame(
            {
                "cutoff": list(self.cutoffs),
                "at_mean": self.negative_at_mean,
                "over_posterior": self.negative_over_posterior,
            }
        )

    @property
    def efficiency(self) -> np.ndarray:
        """(cutoff, operator) squared bound over the posterior variance of c.

        One near the Gaussian process; below, where strong coupling makes the outputs
        noisier than the bound supposes.
        """
        return np.asarray(self.bound**2 / self.dimensionless.var(axis=(0, 1)))

    @cached_property
    def data(self) -> xr.DataTree:
        """All cutoffs as one DataTree for ArviZ, with a `cutoff` dimension.

        Groups: posterior (coupling g, dimensionless c), sample_stats, log_prior,
        constant_data. There is no pointwise log likelihood: it would hold a number per
        posterior draw and network, gigabytes for 10⁵ networks.
        """
        coords = {
            **posterior.sample_coordinates(self.dimensionless),
            "cutoff": list(self.cutoffs),
            "operator": list(self.action.names),
        }
        sampling = {name: coords[name] for name in _SAMPLED}
        operators = (*_SAMPLED, "operator")
        tau = self.prior.coupling_scales(self.network.width, self.action)
        log_prior = -0.5 * (self.dimensionless / tau) ** 2 - np.log(
            np.sqrt(2 * np.pi) * tau
        )
        per_operator = ("cutoff", "operator")
        tree = xr.DataTree.from_dict(
            {
                "posterior": xr.Dataset(
                    {
                        "coupling": (operators, self.dimensionless / self.scale),
                        "dimensionless": (operators, self.dimensionless),
                    },
                    coords=coords,
                ),
                "sample_stats": xr.Dataset(
                    {name: (_SAMPLED, v) for name, v in self.statistics.items()},
                    coords=sampling,
                ),
                "log_prior": xr.Dataset(
                    {"dimensionless": (operators, log_prior)}, coords=coords
                ),
                "constant_data": xr.Dataset(
                    {
                        "x": (("point", "dim"), self.x),
                        "scale": (per_operator, self.scale),
                        "bound": (per_operator, self.bound),
                        "p_value": ("cutoff", self.p_value),
                        "negative_at_mean": ("cutoff", self.negative_at_mean),
                        "negative_over_posterior": (
                            "cutoff",
                            self.negative_over_posterior,
                        ),
                    },
                    coords={name: coords[name] for name in per_operator},
                ),
            }
        )
        tree.attrs = posterior.provenance(
            "function_space_fit",
            self.network,
            self.action,
            num_draws=self.num_draws,
            prior=asdict(self.prior),
            modes_kept=self.modes_kept,
            modes_dropped=self.modes_dropped,
        )
        return tree

    def at(self, cutoff: float) -> xr.DataTree:
        """One cutoff's own DataTree, without the `cutoff` dimension.

        Raises:
            SpecError: The fit has no such cutoff.
        """
        which = posterior.cutoff_number(self.cutoffs, cutoff)
        return xr.DataTree.from_dict(
            {
                name: group.to_dataset().isel(cutoff=which, drop=True)
                for name, group in self.data.children.items()
            }
        )

    def summary(self) -> pd.DataFrame:
        """One row per cutoff and operator: estimates, convergence, trust.

        Columns: cutoff, operator, mean, sd, lower, upper (equal-tailed 90 %), rhat,
        ess_bulk, ess_tail, num_divergent, bound, efficiency, p_value,
        negative_fraction (at the posterior mean). The mean, sd, interval and bound are
        of the coupling g.
        """
        number = len(self.action.names)
        table = posterior.coupling_table(self.at, self.cutoffs, self.action.names)
        return table.assign(
            bound=(self.bound / self.scale).ravel(),
            efficiency=self.efficiency.ravel(),
            p_value=np.repeat(self.p_value, number),
            negative_fraction=np.repeat(self.negative_at_mean, number),
        )

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step; the log prior, which follows, is left out.

        Raises:
            SpecError: An operator or the measure would not come back from its name in
                a file (`Action.check_is_saved`).
        """
        groups = {
            name: group.to_dataset()
            for name, group in self.data.children.items()
            if name != "log_prior"
        }
        posterior.save(path, self.action, groups, self.data.attrs)

    @staticmethod
    def from_data(
        tree: xr.DataTree, network: Network | None = None
    ) -> "FunctionSpaceFit":
        """Rebuild from what `save` wrote, as `nnft_ppl.load` does."""
        record = store.metadata(tree)
        network = recorded_network(record, network)
        action = Action.from_record(record)
        draws = store.child(tree, "posterior")
        constant = store.child(tree, "constant_data")
        cutoffs = tuple(store.array(draws, "cutoff").tolist())
        x, scale = store.array(constant, "x"), store.array(constant, "scale")
        _, expected, _ = scaled_design(action, network, x, cutoffs)
        posterior.check_integrals(network, action, expected, scale)
        return FunctionSpaceFit(
            network=network,
            x=x,
            num_draws=record["num_draws"],
            action=action,
            cutoffs=cutoffs,
            prior=Prior(**record["prior"]),
            scale=scale,
            dimensionless=store.array(draws, "dimensionless"),
            statistics=posterior.saved_statistics(tree),
            bound=store.array(constant, "bound"),
            p_value=store.array(constant, "p_value"),
            negative_at_mean=store.array(constant, "negative_at_mean"),
            negative_over_posterior=store.array(constant, "negative_over_posterior"),
            modes_kept=record["modes_kept"],
            modes_dropped=record["modes_dropped"],
        )
