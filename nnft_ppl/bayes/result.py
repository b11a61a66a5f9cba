"""`Posterior`: what data say of a network of finite width."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import ArrayLike, Float

from nnft_ppl import store
from nnft_ppl._arguments import check_choice
from nnft_ppl._arrays import real_numbers
from nnft_ppl._errors import SpecError
from nnft_ppl._html import card
from nnft_ppl._network import Network
from nnft_ppl._numbers import significant, with_error
from nnft_ppl.bayes.answer import Answer, Draws
from nnft_ppl.bayes.data import Data
from nnft_ppl.ensemble.fingerprint import network_record, recorded_network

_SAMPLED = ("chain", "draw")


@dataclass(frozen=True, eq=False)
class Posterior:
    """The field of a random network given targets with normal noise.

    Attributes:
        network: The prior.
        data: DataTree for ArviZ. `posterior` has `f` at the data's inputs and the
            scales that were inferred, `posterior_predictive` has `y` there,
            `predictions` both at the new inputs, all (chain, draw, …);
            `observed_data`, `constant_data`, `predictions_constant_data` what was
            given; `estimates` what is known better than from these draws.
    """

    network: Network
    data: xr.DataTree

    def __repr__(self) -> str:
        """Show what was conditioned on what, and how far to trust it."""
        number, new = (
            self.data[group].sizes[dim]
            for group, dim in (
                ("constant_data", "point"),
                ("predictions_constant_data", "new_point"),
            )
        )
        evidence = "no evidence"
        if np.isfinite(self.log_evidence):
            value = with_error(self.log_evidence, self.log_evidence_error)
            evidence = f"log evidence {value}"
        if self.method == "weights":
            evidence += f", Pareto k {significant(self.pareto_k, 2)}"
        return (
            f"Posterior({self.network!r}, {number} data, {new} new inputs, by "
            f"{self.method}: {significant(self.effective_draws)} effective draws, "
            f"{evidence})"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        rows = [
            ("network", self.network),
            ("data", self.data["constant_data"].sizes["point"]),
            ("new inputs", self.data["predictions_constant_data"].sizes["new_point"]),
            ("by", self.method),
            ("effective draws", significant(self.effective_draws)),
            ("log evidence", with_error(self.log_evidence, self.log_evidence_error)),
        ]
        return card("Posterior", rows)

    @property
    def method(self) -> str:
        """`weights`, `smc` or `nuts`: what it was found by."""
        return str(store.metadata(self.data)["method"])

    @property
    def mean(self) -> Float[np.ndarray, "new ..."]:
        """E f at the new inputs."""
        return self._estimate("mean")

    @property
    def variance(self) -> Float[np.ndarray, "new ..."]:
        """Var f there, without the noise of targets."""
        return self._estimate("variance")

    @property
    def mean_error(self) -> Float[np.ndarray, "new ..."]:
        """One standard error of `mean`, for the networks being finitely many."""
        return self._estimate("mean_error")

    @property
    def log_evidence(self) -> float:
        """The log of p(y), of all outputs together; NaN by NUTS, which gives none."""
        return float(self._estimate("log_evidence"))

    @property
    def log_evidence_error(self) -> float:
        """One standard error of it; infinite where the weights allow none."""
        return float(self._estimate("log_evidence_error"))

    @property
    def effective_draws(self) -> float:
        """How many independent draws it is worth."""
        return float(self._estimate("effective_draws"))

    @property
    def pareto_k(self) -> float:
        """Shape of the tail of the weights, ArviZ's; NaN where none were tried."""
        return float(self._estimate("pareto_k"))

    @property
    def rhat(self) -> float:
        """Largest over means at new inputs; NaN by weights, whose draws are free."""
        return float(store.metadata(self.data).get("rhat", np.nan))

    def _estimate(self, name: str) -> np.ndarray:
        return store.array(self.data, f"estimates/{name}")

    def quantile(
        self, probabilities: ArrayLike, of: str = "f"
    ) -> Float[np.ndarray, "..."]:
        """Quantiles at the new inputs, from the draws in `predictions`.

        Args:
            probabilities: Between 0 and 1, a number or several.
            of: `f`, the field, or `y`, a new target with its noise.

        Raises:
            SpecError: A probability is out of range, or there is no such quantity.
        """
        check_choice("of", of, ("f", "y"))
        asked = real_numbers("`probabilities`", probabilities, "any")
        if not ((asked >= 0) & (asked <= 1)).all():
            raise SpecError(
                f"`probabilities` are {asked.tolist()}; expected numbers from 0 to 1"
            )
        draws = store.array(self.data, f"predictions/{of}")
        return np.asarray(np.quantile(draws, asked, axis=(0, 1)))

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step: the file is complete or absent."""
        store.write(self.data, path)

    @staticmethod
    def from_data(tree: xr.DataTree, network: Network | None = None) -> "Posterior":
        """Rebuild from `data`, with the network where no plugin supplies it."""
        for group in ("posterior", "predictions", "estimates"):
            store.child(tree, group)
        return Posterior(recorded_network(store.metadata(tree), network), tree)


def posterior_tree(
    network: Network,
    data: Data,
    answer: Answer,
    draws: Draws,
    estimates: dict[str, float],
    statistics: dict[str, np.ndarray],
    record: dict[str, Any],
) -> xr.DataTree:
    """`Posterior.data`.

    Args:
        network: The prior.
        data: What it was given.
        answer: Moments at the new inputs.
        draws: Of the field.
        estimates: Numbers for the group `estimates`.
        statistics: ArviZ name -> (chain, draw), of a sampler.
        record: Further fields of the provenance.
    """
    axes = ("output",) if data.has_output_axis else ()

    def with_outputs(dims: Sequence[str], values: np.ndarray) -> tuple[Any, np.ndarray]:
        return (*dims, *axes), values if axes else values[..., 0]

    at_data, at_new = (*_SAMPLED, "point"), (*_SAMPLED, "new_point")
    groups: dict[str, dict[str, Any]] = {
        "posterior": {
            **{name: (_SAMPLED, values) for name, values in draws.unknown.items()},
            "f": with_outputs(at_data, draws.field),
        },
        "sample_stats": {n: (_SAMPLED, values) for n, values in statistics.items()},
        "posterior_predictive": {"y": with_outputs(at_data, draws.replicated)},
        "predictions": {
            "f": with_outputs(at_new, draws.new_field),
            "y": with_outputs(at_new, draws.new_targets),
        },
        "observed_data": {"y": with_outputs(("point",), data.y)},
        "constant_data": {"x": (("point", "dim"), data.x)},
        "predictions_constant_data": {"x_new": (("new_point", "dim"), data.x_new)},
        "estimates": {
            **{
                name: with_outputs(("new_point",), values)
                for name, values in vars(answer).items()
            },
            **{name: ((), value) for name, value in estimates.items()},
        },
    }
    tree = xr.DataTree.from_dict(
        {
            name: _numbered(xr.Dataset(variables))
            for name, variables in groups.items()
            if variables
        }
    )
    tree.attrs = store.provenance("posterior", **network_record(network), **record)
    return tree


def _numbered(dataset: xr.Dataset) -> xr.Dataset:
    """With numbers along its axes, as ArviZ wants them."""
    return dataset.assign_coords(
        {name: np.arange(size) for name, size in dataset.sizes.items() if name != "dim"}
    )
