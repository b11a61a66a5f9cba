"""Evidence against width: do the data prefer a network of finite width?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import ArrayLike
from scipy.stats import norm
from scipy.stats import t as student

from nnft_ppl import store
from nnft_ppl._arguments import check_choice, check_kind, check_number, check_whole
from nnft_ppl._errors import SpecError
from nnft_ppl._html import card, table
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.bayes.by_weights import can_be_used, weigh
from nnft_ppl.bayes.data import check_memory, checked_data
from nnft_ppl.bayes.features import check_gaussian_readout, num_features
from nnft_ppl.bayes.first_order import gaussian_process
from nnft_ppl.bayes.posterior import warn_unless_converged
from nnft_ppl.bayes.prior_check import warn_of_surprise
from nnft_ppl.bayes.result import Posterior
from nnft_ppl.bayes.scales import Scales
from nnft_ppl.bayes.smc import run_smc
from nnft_ppl.bayes.weighting import Job
from nnft_ppl.bayes.weights import MIN_DRAWS
from nnft_ppl.ensemble.fingerprint import network_record, recorded_network
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import check_key, check_num_draws, check_prior
from nnft_ppl.ensemble.outputs import check_outputs
from nnft_ppl.ensemble.progress import Monitor, watching
from nnft_ppl.inference.mcmc.sampling import Sampling

_METHODS = ("auto", "weights", "smc")
_PARTICLES, _POPULATIONS = 100, 4
"""Of tempering: the error is the scatter of the populations."""
_WRONG = 0.02
"""Probability that noise makes one of the widths surpass the Gaussian process."""
_COLUMNS = ("log_evidence", "error", "method", "effective_draws", "pareto_k")


@dataclass(frozen=True, eq=False)
class EvidenceCurve:
    """Log evidence at several widths beside that of infinite width.

    Attributes:
        network: Of whatever width.
        table: width (ascending), log_evidence, error, method, effective_draws and
            pareto_k of each.
        infinite: Log evidence of the Gaussian process.
        num_draws: Networks of the prior at each width.
    """

    network: Network
    table: pd.DataFrame
    infinite: float
    num_draws: int

    @staticmethod
    def of(
        posteriors: Iterable[Posterior], infinite: float, num_draws: int
    ) -> "EvidenceCurve":
        """From posteriors of different widths, given the same data.

        Args:
            posteriors: One or more.
            infinite: Log evidence of the Gaussian process.
            num_draws: Networks of the prior at each width.
        """
        found = sorted(posteriors, key=lambda post: post.network.width)
        rows = [
            [
                post.network.width,
                post.log_evidence,
                post.log_evidence_error,
                post.method,
                post.effective_draws,
                post.pareto_k,
            ]
            for post in found
        ]
        table = pd.DataFrame(rows, columns=["width", *_COLUMNS])
        return EvidenceCurve(
            found[0].network, table.set_index("width"), infinite, num_draws
        )

    @property
    def prefers_finite_width(self) -> bool | None:
        """Whether one of the widths beats the Gaussian process; `None` if undecided.

        By 2 standard errors of one width, and by more of one out of several, as the
        best of many that are all alike looks better than it is; or by tempering, whose
        error is from four populations.
        """
        lower, upper = self._bounds()
        if (lower > self.infinite).any():
            return True
        return None if (upper > self.infinite).any() else False

    @property
    def message(self) -> str:
        """The answer in a sentence."""
        best = self._bounds()[0] if self.prefers_finite_width else self._log_evidence
        width = self.table.index[int(best.argmax())]
        gain = self._log_evidence[width] - self.infinite
        error = self.table["error"][width]
        said = f"log evidence {gain:+.3g} ± {error:.1g} relative to the GP's"
        if self.prefers_finite_width is None:
            return f"undecided: width {width} has {said}; draw more networks"
        if self.prefers_finite_width:
            return f"the evidence prefers a finite width: {width} of these has {said}"
        return (
            f"the evidence prefers infinite width: {width}, best of these, has {said}"
        )

    def _repr_html_(self) -> str:
        """The table for notebooks, and what it says."""
        rows = [
            ("network", repr(self.network)),
            ("log evidence of the GP", f"{self.infinite:.4g}"),
            ("networks of the prior", f"{self.num_draws:,} of each width"),
            ("", table(self.table.reset_index())),
        ]
        return card("EvidenceCurve", rows, self.message)

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step: the file is complete or absent."""
        columns = {name: ("width", self.table[name].to_numpy()) for name in _COLUMNS}
        columns["method"] = ("width", self.table["method"].to_numpy(dtype=str))
        widths = self.table.index.to_numpy()
        tree = xr.DataTree(xr.Dataset(columns, coords={"width": widths}))
        tree.attrs = store.provenance(
            "evidence_curve",
            **network_record(self.network),
            infinite=self.infinite,
            num_draws=self.num_draws,
        )
        store.write(tree, path)

    @staticmethod
    def from_data(tree: xr.DataTree, network: Network | None = None) -> "EvidenceCurve":
        """Rebuild from what `save` wrote, as `nnft_ppl.load` does."""
        record = store.metadata(tree)
        columns = {name: store.array(tree, name) for name in _COLUMNS}
        columns["method"] = columns["method"].astype(object)
        index = pd.Index(store.array(tree, "width"), name="width")
        return EvidenceCurve(
            recorded_network(record, network),
            pd.DataFrame(columns, index=index),
            float(record["infinite"]),
            int(record["num_draws"]),
        )

    @property
    def _log_evidence(self) -> "pd.Series[float]":
        return self.table["log_evidence"]

    def _bounds(self) -> tuple["pd.Series[float]", "pd.Series[float]"]:
        """Below and above the evidence of every width, wrong for one of them rarely.

        An error that is the scatter of a few populations is itself not known well.
        """
        chance = _WRONG / len(self.table)
        by_scatter = self.table["method"] == "smc"
        sure = np.where(
            by_scatter, student.isf(chance, _POPULATIONS - 1), norm.isf(chance)
        )
        reach = sure * self.table["error"]
        return self._log_evidence - reach, self._log_evidence + reach


def evidence_by_width(
    network: Network,
    widths: Sequence[int],
    x: ArrayLike,
    y: ArrayLike,
    *,
    noise_std: float,
    num_draws: int = 100_000,
    key: Key,
    method: str = "auto",
    devices: Sequence[jax.Device] | int | None = None,
    progress: bool | Monitor = False,
) -> EvidenceCurve:
    """Log evidence of the data at each width, and at infinite width.

    Args:
        network: With a linear readout of normal weights and a kernel; its own width
            plays no part.
        widths: Different whole numbers.
        x: Inputs (point, input_dim).
        y: Targets (point,), or (point, output).
        noise_std: σ of the targets, > 0.
        num_draws: Networks of each width.
        key: A JAX random key, the same for every width.
        method: As in `posterior`: `auto`, `weights` or `smc`; NUTS gives no evidence.
        devices: As in `posterior`.
        progress: Show a bar for each width, or in a log a line now and then, or
            a function that is told.

    Raises:
        SpecError: Data, a number or devices are unusable.
        UnavailableError: The network has no Gaussian readout, or no kernel.
        FitError: As `posterior`; of targets that the prior never gives by `auto`, too.

    Warns:
        PosteriorWarning: As `posterior`.

    Source: theory.md §6, exact inference at finite width.
    """
    check_kind("network", network, Network)
    check_gaussian_readout(network)
    check_prior(network)
    check_outputs(network)
    chosen = sorted({check_whole("widths", width) for width in widths})
    if not chosen:
        raise SpecError("`widths` is empty; expected at least one whole number")
    data = checked_data(network, x, y, network.check_inputs(x)[:1])
    noise = check_number(
        "noise_std", noise_std, lambda s: 0 < s < float("inf"), "a finite number > 0"
    )
    check_choice("method", method, _METHODS)
    kernel = network.kernel(data.points.astype(np.float64))
    with jax.enable_x64(True):
        limit = gaussian_process(
            jnp.asarray(kernel), data.rows, data.new_rows, jnp.asarray(data.y), noise
        )
    job = Job(
        network,
        data,
        Scales.checked(noise),
        check_num_draws(num_draws, MIN_DRAWS),
        check_key(key),
        DEFAULT_GENERATOR,
        choose_devices(devices),
    )
    is_surprising = warn_of_surprise(network, data, job.scales)
    rows = []
    for width in chosen:
        at_width = replace(job, network=network.with_width(width))
        with watching(progress, f"width {width}") as monitor:
            found = _evidence(at_width, method, monitor, is_surprising=is_surprising)
            rows.append([width, *found])
    table = pd.DataFrame(rows, columns=["width", *_COLUMNS]).set_index("width")
    return EvidenceCurve(network, table, float(limit.log_evidence), job.num_draws)


def _evidence(
    job: Job, method: str, monitor: Monitor | None, *, is_surprising: bool
) -> tuple[float, float, str, float, float]:
    """A row of the table; no draws, whose program takes long."""
    check_memory(job.data, num_features(job.network))
    pareto_k = np.nan
    if method != "smc":
        _, weights, _ = weigh(
            job,
            target_error=None,
            checkpoint=None,
            scheduler=None,
            progress=monitor or False,
        )
        pareto_k, effective = weights.pareto_k, weights.effective_draws
        if can_be_used(weights, method, is_surprising=is_surprising):
            log_evidence, error = weights.log_evidence, weights.log_evidence_error
            return log_evidence, error, "weights", effective, pareto_k
    sampling = Sampling(1, _PARTICLES, _POPULATIONS)
    chained, log_evidence, error = run_smc(job, sampling, monitor)
    warn_unless_converged(chained)
    return log_evidence, error, "smc", chained.effective_draws, pareto_k
