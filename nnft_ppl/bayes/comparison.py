"""Posteriors by four methods side by side: is the simplest one close enough here?

In: a network, data, new inputs. Out: `PosteriorComparison`, one table of the Gaussian
process, the first order in 1/N, the effective theory and the exact posterior.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from nnft_ppl import store
from nnft_ppl._arguments import check_choice
from nnft_ppl._html import card, table
from nnft_ppl._network import Network
from nnft_ppl.bayes.expansion_groups import expansion_dataset, expansion_from
from nnft_ppl.bayes.first_order import Expansion, Moments
from nnft_ppl.bayes.result import Posterior
from nnft_ppl.bayes.scores import Targets, gaussian_scores, posterior_scores
from nnft_ppl.ensemble.fingerprint import network_record

GAUSSIAN, FIRST, THEORY, EXACT = (
    "Gaussian process",
    "first order in 1/N",
    "effective theory",
    "exact",
)
_SURE = 2.0
"""Standard errors within which a distance is not told from the tolerance."""
_AT_NEW = ("new_point", "output")


@dataclass(frozen=True, eq=False)
class PosteriorComparison:
    """What each method says of the same data, and which of them are close enough.

    Attributes:
        exact: The posterior at the network's width, from sampled networks.
        expansion: The first order in 1/N, with the Gaussian process it starts from.
        effective_theory: With the couplings of a fit; `None` where none was given.
        noise_std: σ of targets.
        tolerance: Distance from the exact posterior that is close enough, in units of
            its standard deviation.
        y_new: Targets at the new inputs (new, output), held out; or `None`.
    """

    exact: Posterior
    expansion: Expansion
    effective_theory: Expansion | None
    noise_std: float
    tolerance: float
    y_new: Float[np.ndarray, "new output"] | None

    def table(self) -> pd.DataFrame:
        """One row per method.

        Columns: log_evidence and its error; mean_distance, the root mean square over
        new inputs of the distance of means from the exact ones in units of the exact
        standard deviation, with its error; std_distance, the same of the relative
        difference of standard deviations; close: `yes`, `no`, or `undecided` where the
        error does not tell. With targets held out also log_density, the mean log
        predictive density of one; rmse; and coverage of intervals of 90 %.

        Gaussian predictives have the mean and variance of their method. The density of
        one with no positive variance is NaN.
        """
        return pd.DataFrame([self._row(name) for name in self.methods]).set_index(
            "method"
        )

    @property
    def message(self) -> str:
        """Which methods are close enough, and whether the first order holds."""
        table = self.table()
        by_answer = {
            answer: [
                name
                for name, close in table["close"].items()
                if close == answer and name != EXACT
            ]
            for answer in ("yes", "no", "undecided")
        }
        words = {
            "yes": "close enough",
            "no": "not close enough",
            "undecided": "undecided, for want of networks",
        }
        parts = [
            f"{words[answer]}: {', '.join(map(str, names))}"
            for answer, names in by_answer.items()
            if names
        ]
        validity = self.expansion.message
        validity = validity[0].upper() + validity[1:]
        return (
            f"At width {self.exact.network.width}, within {self.tolerance:g} of the "
            f"standard deviation: {'; '.join(parts)}. {validity}."
        )

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return card("PosteriorComparison", [("", table(self.table()))], self.message)

    def __repr__(self) -> str:
        """The table and what it says."""
        return f"{self.table().to_string()}\n{self.message}"

    @property
    def methods(self) -> list[str]:
        """Names of the rows, the exact posterior last."""
        fitted = [] if self.effective_theory is None else [THEORY]
        return [GAUSSIAN, FIRST, *fitted, EXACT]

    def moments(self, method: str) -> tuple[Targets, Targets]:
        """Mean and variance of f at the new inputs by one of the methods, no noise.

        Raises:
            SpecError: There is no such method here.
        """
        check_choice("method", method, self.methods)
        if method == EXACT:
            shape = self.expansion.mean.shape
            return self.exact.mean.reshape(shape), self.exact.variance.reshape(shape)
        found = self._found(method)
        return found.mean, found.variance

    def _found(self, method: str) -> Expansion | Moments:
        """What one of the methods other than the exact one gives."""
        if method == GAUSSIAN:
            return self.expansion.gaussian
        found = self.effective_theory if method == THEORY else self.expansion
        assert found is not None
        return found

    def _evidence(self, method: str) -> tuple[float, float]:
        """Log evidence and its error."""
        if method == EXACT:
            return self.exact.log_evidence, self.exact.log_evidence_error
        found = self._found(method)
        error = found.error.log_evidence if isinstance(found, Expansion) else 0.0
        return float(found.log_evidence), float(error)

    def _row(self, name: str) -> dict[str, object]:
        exact_mean, exact_variance = self.moments(EXACT)
        log_evidence, error = self._evidence(name)
        mean, variance = self.moments(name)
        std = np.sqrt(exact_variance)
        away = (mean - exact_mean) / std
        narrow = np.sqrt(np.maximum(variance, 0.0)) / std - 1
        mean_distance, std_distance = _rms(away), _rms(narrow)
        mean_error, std_error = self._errors(name, std)
        row: dict[str, object] = {
            "method": name,
            "log_evidence": log_evidence,
            "log_evidence_error": error,
            "mean_distance": mean_distance,
            "mean_distance_error": mean_error,
            "std_distance": std_distance,
            "close": "yes"
            if name == EXACT
            else self._close(
                (mean_distance, mean_error), (std_distance, std_error), variance
            ),
        }
        if self.y_new is not None:
            row.update(
                posterior_scores(self.exact, self.noise_std, self.y_new)
                if name == EXACT
                else gaussian_scores(mean, variance, self.noise_std, self.y_new)
            )
        return row

    def _errors(self, name: str, std: Targets) -> tuple[float, float]:
        """Of the distances of means and of standard deviations."""
        mean = self.exact.mean_error.reshape(std.shape) / std
        # A variance is known to about √(2/n) of itself, a standard deviation to half.
        narrow = np.full(std.shape, np.sqrt(0.5 / self.exact.effective_draws))
        found = None if name == EXACT else self._found(name)
        if isinstance(found, Expansion):
            of_variance = np.diagonal(found.error.covariance, axis1=-2, axis2=-1).T
            mean = np.hypot(mean, found.error.mean / std)
            narrow = np.hypot(narrow, 0.5 * of_variance / std**2)
        return _rms(mean), _rms(narrow)

    def _close(
        self,
        mean: tuple[float, float],
        std: tuple[float, float],
        variance: np.ndarray,
    ) -> str:
        """Whether distances, each with its error, are within the tolerance."""
        if (variance <= 0).any():
            return "no"
        if any(value - _SURE * error > self.tolerance for value, error in (mean, std)):
            return "no"
        if all(value + _SURE * error <= self.tolerance for value, error in (mean, std)):
            return "yes"
        return "undecided"

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step: the file is complete or absent."""
        groups: dict[str, xr.DataTree | xr.Dataset] = {
            "exact": self.exact.data,
            "expansion": expansion_dataset(self.expansion),
        }
        if self.effective_theory is not None:
            groups["effective_theory"] = expansion_dataset(self.effective_theory)
        if self.y_new is not None:
            groups["held_out"] = xr.Dataset({"y_new": (_AT_NEW, self.y_new)})
        tree = xr.DataTree.from_dict(groups)
        tree.attrs = store.provenance(
            "posterior_comparison",
            **network_record(self.exact.network),
            noise_std=self.noise_std,
            tolerance=self.tolerance,
        )
        store.write(tree, path)

    @staticmethod
    def from_data(
        tree: xr.DataTree, network: Network | None = None
    ) -> "PosteriorComparison":
        """Rebuild from what `save` wrote, as `nnft_ppl.load` does."""
        record = store.metadata(tree)
        theory = tree.children.get("effective_theory")
        held_out = tree.children.get("held_out")
        return PosteriorComparison(
            Posterior.from_data(store.child(tree, "exact"), network),
            expansion_from(store.child(tree, "expansion")),
            None if theory is None else expansion_from(theory),
            float(record["noise_std"]),
            float(record["tolerance"]),
            None if held_out is None else store.array(held_out, "y_new"),
        )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
