"""Posteriors by four methods side by side: is the simplest one close enough here?

In: a network, data, new inputs. Out: `PosteriorComparison`, one table of the Gaussian
process, the first order in 1/N, the effective theory and the exact posterior.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
import pandas as pd
from jaxtyping import ArrayLike, Float
from scipy.special import logsumexp, ndtri
from scipy.stats import norm

from nnft_ppl._arguments import check_choice, check_kind, check_number
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.bayes.data import Data, checked_data
from nnft_ppl.bayes.effective_theory import check_fit, expand_effective_theory
from nnft_ppl.bayes.features import check_gaussian_readout
from nnft_ppl.bayes.first_order import Expansion
from nnft_ppl.bayes.kernel_cumulants import expand
from nnft_ppl.bayes.posterior import METHODS, posterior
from nnft_ppl.bayes.result import Posterior
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import check_key, check_num_draws
from nnft_ppl.ensemble.progress import Monitor, watching
from nnft_ppl.inference.couplings.result import CouplingFit

GAUSSIAN, FIRST, THEORY, EXACT = (
    "Gaussian process",
    "first order in 1/N",
    "effective theory",
    "exact",
)
_COVERED = 0.9
"""Probability of the intervals whose coverage is counted."""
_SURE = 2.0
"""Standard errors within which a distance is not told from the tolerance."""


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
        return pd.DataFrame([self._row(name) for name in self._methods()]).set_index(
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
        return (
            f"At width {self.exact.network.width}, within {self.tolerance:g} of the "
            f"standard deviation: {'; '.join(parts)}. {self.expansion.message}."
        )

    def __repr__(self) -> str:
        """The table and what it says."""
        return f"{self.table().to_string()}\n{self.message}"

    def _methods(self) -> list[str]:
        fitted = [] if self.effective_theory is None else [THEORY]
        return [GAUSSIAN, FIRST, *fitted, EXACT]

    def _said(self, name: str) -> tuple[float, float, np.ndarray, np.ndarray]:
        """Log evidence, its error, mean and variance (new, output)."""
        if name == EXACT:
            post = self.exact
            shape = self.expansion.mean.shape
            moments = post.mean.reshape(shape), post.variance.reshape(shape)
            return post.log_evidence, post.log_evidence_error, *moments
        if name == GAUSSIAN:
            gaussian = self.expansion.gaussian
            mean: np.ndarray = gaussian.mean
            return float(gaussian.log_evidence), 0.0, mean, gaussian.variance
        found = self.effective_theory if name == THEORY else self.expansion
        assert found is not None
        error = float(found.error.log_evidence)
        return found.log_evidence, error, found.mean, found.variance

    def _row(self, name: str) -> dict[str, object]:
        _, _, exact_mean, exact_variance = self._said(EXACT)
        log_evidence, error, mean, variance = self._said(name)
        std = np.sqrt(exact_variance)
        away = (mean - exact_mean) / std
        narrow = np.sqrt(np.maximum(variance, 0.0)) / std - 1
        known = self.exact.mean_error.reshape(std.shape) / std
        mean_distance, std_distance = _rms(away), _rms(narrow)
        mean_error = _rms(known)
        # A variance is known to about √(2/n) of itself, a standard deviation to half.
        std_error = float(np.sqrt(0.5 / self.exact.effective_draws))
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
            row.update(self._held_out(name, mean, variance))
        return row

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

    def _held_out(
        self, name: str, mean: np.ndarray, variance: np.ndarray
    ) -> dict[str, float]:
        """How well targets that were held out are predicted."""
        assert self.y_new is not None
        y = self.y_new
        rmse = _rms(mean - y)
        if name == EXACT:
            fields = self.exact.data["predictions"]["f"].to_numpy()
            fields = fields.reshape(-1, *y.shape)
            each = norm.logpdf(y, fields, self.noise_std)
            density = logsumexp(each, axis=0) - np.log(len(fields))
            tail = (1 - _COVERED) / 2
            low, high = self.exact.quantile(np.array([tail, 1 - tail]), of="y").reshape(
                2, *y.shape
            )
        else:
            spread = np.sqrt(
                np.where(variance > 0, variance, np.nan) + self.noise_std**2
            )
            density = norm.logpdf(y, mean, spread)
            reach = ndtri((1 + _COVERED) / 2) * spread
            low, high = mean - reach, mean + reach
        return {
            "log_density": float(density.mean()),
            "rmse": rmse,
            "coverage": float(((low <= y) & (y <= high)).mean()),
        }


def compare_posteriors(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    x_new: ArrayLike,
    *,
    noise_std: float,
    num_draws: int = 100_000,
    key: Key,
    fit: CouplingFit | None = None,
    y_new: ArrayLike | None = None,
    tolerance: float = 0.1,
    method: str = "auto",
    devices: Sequence[jax.Device] | int | None = None,
    progress: bool | Monitor = False,
) -> PosteriorComparison:
    """The Gaussian process, first order in 1/N, effective theory and exact posterior.

    Args:
        network: With a linear readout of normal weights and a kernel.
        x: Inputs (point, input_dim).
        y: Targets (point,), or (point, output).
        x_new: New inputs (new, input_dim).
        noise_std: σ of the targets, > 0.
        num_draws: Networks of the exact posterior; at most 20 000 of the same are used
            for the first order where the cumulants of the kernel are not known: for
            deep nets with a skip, say, or at more than 16 different inputs.
        key: A JAX random key.
        fit: Couplings of the same network, of operators with four fields, for the
            effective theory; its first cutoff is used.
        y_new: Targets at the new inputs, held out, in the shape of `y`.
        tolerance: Distance from the exact posterior, in standard deviations, that is
            close enough.
        method: How the exact posterior is found, as in `posterior`.
        devices: As in `posterior`.
        progress: Show a progress bar for the exact posterior, on a terminal or in a
            notebook, or a function that is told.

    Raises:
        SpecError: Data, a number or devices are unusable, or the fit is of another
            network.
        UnavailableError: The network has no Gaussian readout, or no kernel; or the fit
            holds an operator that has not four fields.

    Warns:
        PosteriorWarning: As `posterior`.

    Source: `bayes.first_order`, `bayes.effective_theory`.
    """
    check_kind("network", network, Network)
    check_gaussian_readout(network)
    data = checked_data(network, x, y, x_new)
    noise = check_number(
        "noise_std", noise_std, lambda s: 0 < s < float("inf"), "a finite number > 0"
    )
    tolerance = check_number("tolerance", tolerance, lambda t: t > 0, "a number > 0")
    num_draws, key = check_num_draws(num_draws, 100), check_key(key)
    check_choice("method", method, METHODS)
    used = choose_devices(devices)
    _check_variance(network, data)
    held_out = None if y_new is None else _held_out_targets(network, data, y_new)
    if fit is not None:
        check_kind("fit", fit, CouplingFit)
        check_fit(fit, network, data)
    expansion = expand(network, data, noise, min(num_draws, _MOST_EXPANDED), key)
    theory = None if fit is None else expand_effective_theory(fit, network, data, noise)
    with watching(progress, f"width {network.width}") as monitor:
        exact = posterior(
            network,
            x,
            y,
            x_new,
            noise_std=noise,
            num_draws=num_draws,
            key=key,
            method=method,
            devices=used,
            progress=monitor or False,
        )
    return PosteriorComparison(exact, expansion, theory, noise, tolerance, held_out)


def _check_variance(network: Network, data: Data) -> None:
    """Refuse new inputs at which distances have no unit.

    Raises:
        SpecError: The field is 0 there, as without biases at the origin.
    """
    certain = np.flatnonzero(np.diagonal(network.kernel(data.x_new)) == 0)
    if len(certain):
        raise SpecError(
            f"the field of {network.name!r} is 0 at `x_new`[{certain[0]}] for every "
            "network: leave that input out, or give a `bias_std`"
        )


_MOST_EXPANDED = 20_000
"""Networks along whose kernels derivatives are taken: each costs as some ten draws."""


def _held_out_targets(network: Network, data: Data, y_new: ArrayLike) -> np.ndarray:
    """(new, output), checked.

    Raises:
        SpecError: They do not fit the new inputs.
    """
    try:
        return checked_data(network, data.x_new, y_new, data.x_new).y
    except SpecError as error:
        raise SpecError(str(error).replace("`y`", "`y_new`")) from error


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
