"""The steps of a study that make files: measure, fit, compare.

Each is left out when its file is there, whole and of this very study.
"""

import json
from collections.abc import Callable

from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.neuron.exact import exact_correlators
from nnft_ppl.correlators.sampled.measurement import relative_error
from nnft_ppl.diagnostics.comparison.actions import compare_actions
from nnft_ppl.ensemble.progress import Monitor
from nnft_ppl.inference.couplings.fit import fit_couplings
from nnft_ppl.study.directory import (
    COMPARISON,
    FIT,
    FIT_DATA,
    RunDirectory,
    Say,
    correlators,
)
from nnft_ppl.study.draws_file import correlators_of_file
from nnft_ppl.study.finished import read_correlators
from nnft_ppl.study.measurements import Measurement, keys_of, of_fit, of_widths
from nnft_ppl.study.spec import EftTable, Study


class Steps:
    """What is done, in this order, of a study in its directory."""

    def __init__(
        self,
        study: Study,
        directory: RunDirectory,
        say: Say,
        measure: Callable[..., Correlators],
        *,
        progress: bool | Monitor,
    ) -> None:
        """Prepare; `say`, `measure` and `progress` are as `run_study` has them."""
        self.study = study
        self.directory = directory
        self.say = say
        self.measure = measure
        self.progress = progress
        self.keys = keys_of(study)

    def make(self, name: str, what: str, make: Callable[[], None]) -> None:
        """Make a file, unless it is there."""
        if self.directory.has(name):
            self.say(f"{what}: reused {name.rpartition('/')[2]}")
            return
        self.say(what)
        make()

    def measure_widths(self) -> None:
        """Correlators of every width by every estimator."""
        ensemble, points = self.study.ensemble, self.study.points
        if points is None:
            return
        if ensemble.file is not None:
            self._read_draws(correlators(self.study.widths[0], ensemble.estimator))
            return
        for measurement in of_widths(self.study):
            self._measure(measurement)
        for width in self.study.widths:
            network = self.study.network.with_width(width)
            if network.neuron() is not None:
                self._exact(correlators(width, "exact"), network, points)

    def _read_draws(self, name: str) -> None:
        """Correlators of the draws in the file of the study."""
        study, points = self.study, self.study.points
        assert points is not None  # a study of draws has inputs

        def make() -> None:
            found = correlators_of_file(study.ensemble, study.network, points)
            self.directory.save(name, found)

        file = study.ensemble.file
        assert file is not None
        what = f"{study.ensemble.num_draws:,} draws of {file.name}"
        self.make(name, what, make)

    def _measure(self, asked: Measurement) -> None:
        name, target_error = asked.name, asked.target_error

        def make() -> None:
            found = self.measure(
                asked.network,
                asked.points,
                self.study.ensemble.orders,
                num_draws=asked.num_draws,
                key=asked.key,
                estimator=asked.estimator,
                target_error=target_error,
                checkpoint=self.directory.begin(name),
            )
            self.directory.save(name, found)
            self.directory.end(name)
            if target_error is not None:
                error = relative_error(found) or 0.0  # 0: there is no G4c to miss
                self.say(
                    f"G4c to {100 * error:.2g} % after {found.num_draws:,} networks"
                    + (", the most allowed" if error > target_error else "")
                )

        self.make(name, asked.what, make)

    def _exact(self, name: str, network: Network, points: Points) -> None:
        if self.directory.has(name):
            return
        try:
            exact = exact_correlators(network, points, self.study.ensemble.orders)
        except UnavailableError as error:
            self.say(f"width {network.width}: no exact correlators ({error})")
            return
        self.directory.save(name, exact)

    def measure_fit_data(self, eft: EftTable) -> None:
        """Correlators at the inputs of the fit."""
        if self.study.ensemble.file is not None:
            self._read_draws(FIT_DATA)
            return
        measurement = of_fit(self.study, eft)
        if measurement is not None:
            self._measure(measurement)
            return
        self.make(
            FIT_DATA,
            f"data of the fit: exact, width {eft.width}",
            lambda: self.directory.save(
                FIT_DATA,
                exact_correlators(
                    self.study.network, eft.points, self.study.ensemble.orders
                ),
            ),
        )

    def fit(self, eft: EftTable) -> None:
        """Couplings at every cutoff."""

        def make() -> None:
            nuts = eft.sampler == "nuts"
            found = fit_couplings(
                read_correlators(self.directory, FIT_DATA),
                eft.action,
                eft.cutoffs,
                key=self.keys.fit,
                sampler=eft.sampler,
                num_warmup=eft.num_warmup,
                num_samples=eft.num_samples,
                num_chains=eft.num_chains,
                checkpoint=self.directory.begin(FIT) if nuts else None,
                progress=self.progress,
            )
            self.directory.save(FIT, found)
            self.directory.end(FIT)

        names = ", ".join(eft.action.names)
        what = f"fit of {names} at {len(eft.cutoffs)} cutoffs, {eft.sampler}"
        self.make(FIT, what, make)

    def compare(self, eft: EftTable) -> None:
        """The comparison of the candidate actions, when asked for."""
        if not eft.candidates:
            return

        def make() -> None:
            table = compare_actions(
                read_correlators(self.directory, FIT_DATA),
                list(eft.candidates),
                eft.comparison_cutoff,
                tolerance=eft.tolerance,
            )
            text = json.dumps(table.to_dict("records"), indent=2, sort_keys=True)
            self.directory.put(COMPARISON, text + "\n")

        self.make(COMPARISON, f"{len(eft.candidates)} actions compared", make)
