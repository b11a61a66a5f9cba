"""What a study will cost: networks, seconds and memory, before it is run.

Nothing is written. Speeds are taken from short trials on this machine at a few widths;
between them they are interpolated.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from nnft_ppl.bayes.posterior import posterior
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.sampled.measure import measure_correlators
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.ensemble.progress import Progress, peak_memory
from nnft_ppl.inference.couplings.fit import fit_couplings
from nnft_ppl.study.data_steps import widths_of
from nnft_ppl.study.data_table import DataTable
from nnft_ppl.study.directory import FIT, opened, posterior_of, trained_of
from nnft_ppl.study.measurements import Measurement, keys_of, of_fit, of_widths
from nnft_ppl.study.spec import EftTable, Study, data_key, training_key
from nnft_ppl.study.training_table import TrainingTable
from nnft_ppl.training.train import train_ensemble

_TRIAL_SECONDS = 1.0
"""Of steady work, after everything is compiled."""
_TRIAL_WIDTHS = 3
_TRIAL_DRAWS = 4
"""Networks of the data of a trial fit, times the number of their entries."""

type Seconds = Callable[[int], float]
"""Networks or steps -> time, that of the compiler included."""


@dataclass(frozen=True)
class Cost:
    """What one step of a study takes.

    Attributes:
        what: The step.
        is_finished: An earlier run has its result already.
        num_draws: Networks it draws, with a target error at most.
        seconds: On this machine; `None` where it is not known, 0 when finished.
    """

    what: str
    is_finished: bool
    num_draws: int
    seconds: float | None


@dataclass(frozen=True)
class Forecast:
    """What a study will take.

    Attributes:
        steps: Of the study, in their order; what takes no time worth telling left out.
        memory: Bytes that the process held at most in the trials. It does not grow with
            the number of networks, but for posteriors, which keep 8 bytes of each and
            take some 100 while they are smoothed.
    """

    steps: tuple[Cost, ...]
    memory: int

    @property
    def seconds(self) -> float:
        """Of all steps whose time is known."""
        return sum(step.seconds or 0.0 for step in self.steps)

    @property
    def num_draws(self) -> int:
        """Networks that are yet to be drawn."""
        return sum(step.num_draws for step in self.steps if not step.is_finished)


def forecast(
    study: Study,
    *,
    devices: Sequence[jax.Device] | int | None = None,
    memory: int | None = None,
) -> Forecast:
    """Try each kind of step for a moment, and tell what the study will take.

    Args:
        study: From `read_study`.
        devices: As `run_study` has them.
        memory: As `run_study` has it.

    Raises:
        SpecError: The directory holds another study, or a process works there.
    """
    finished, orders = _finished(study), study.ensemble.orders
    measure = partial(measure_correlators, devices=devices, memory=memory)
    costs = _measurements(list(of_widths(study)), orders, measure, finished)
    if study.eft is not None:
        asked = of_fit(study, study.eft)
        if asked is not None:
            costs += _measurements([asked], orders, measure, finished)
        costs.append(_fit(study, study.eft, measure, finished))
    if study.data is not None:
        costs += _posteriors(study, study.data, finished, devices)
    if study.training is not None:
        costs += _trainings(study, study.training, finished, devices)
    return Forecast(tuple(costs), peak_memory())


def _finished(study: Study) -> Callable[[str], bool]:
    """Whether a file of the study is there already, whole and of this very study."""
    if not study.directory.is_dir():
        return lambda name: False
    with opened(study.directory) as directory:
        if not directory.check(study.record(), study.versions()):
            return lambda name: False
        return directory.is_finished


def _measurements(
    asked: Sequence[Measurement],
    orders: tuple[int, ...],
    measure: Callable[..., Correlators],
    finished: Callable[[str], bool],
) -> list[Cost]:
    """Trials of each estimator at some of its widths."""
    left = [m for m in asked if not finished(m.name)]

    def trial(of: Measurement) -> Seconds:
        return _try(
            lambda monitor: measure(
                of.network,
                of.points,
                orders,
                num_draws=of.num_draws,
                key=of.key,
                estimator=of.estimator,
                progress=monitor,
            )
        )

    seconds: dict[str, dict[int, float]] = {}
    for estimator in {m.estimator for m in left}:
        of = {m.network.width: m for m in left if m.estimator == estimator}
        seconds[estimator] = {w: trial(of[w])(of[w].num_draws) for w in _some(of)}
    return [
        Cost(m.what, False, m.num_draws, _at(m.network.width, seconds[m.estimator]))
        if m in left
        else Cost(m.what, True, m.num_draws, 0.0)
        for m in asked
    ]


def _fit(
    study: Study,
    eft: EftTable,
    measure: Callable[..., Correlators],
    finished: Callable[[str], bool],
) -> Cost:
    """A trial on few networks: what a step takes does not depend on the numbers."""
    what = f"fit of {', '.join(eft.action.names)}, {eft.sampler}"
    if finished(FIT):
        return Cost(what, True, 0, 0.0)
    if study.ensemble.file is not None:
        return Cost(what, False, 0, None)
    entries = sum(num_entries(len(eft.points), k) for k in study.ensemble.orders)
    data = measure(
        study.network,
        eft.points,
        study.ensemble.orders,
        num_draws=_TRIAL_DRAWS * entries,
        key=keys_of(study).fit_data,
    )
    seconds = _try(
        lambda monitor: fit_couplings(
            data,
            eft.action,
            eft.cutoffs,
            key=keys_of(study).fit,
            sampler=eft.sampler,
            num_warmup=eft.num_warmup,
            num_samples=eft.num_samples,
            num_chains=eft.num_chains,
            progress=monitor,
        )
    )
    return Cost(what, False, 0, seconds(eft.num_warmup + eft.num_samples))


def _posteriors(
    study: Study,
    table: DataTable,
    finished: Callable[[str], bool],
    devices: Sequence[jax.Device] | int | None,
) -> list[Cost]:
    """Trials of the weights of networks; what follows where they fail is not tried."""
    data, number = table.data, table.num_draws
    widths = widths_of(table, study.widths)

    def trial(width: int) -> Seconds:
        return _try(
            lambda monitor: posterior(
                study.network.with_width(width),
                data.x,
                data.y,
                data.x_new,
                noise_std=table.noise_std,
                num_draws=number,
                method="weights",
                key=data_key(study.ensemble.seed),
                devices=devices,
                progress=monitor,
            )
        )

    by_weights = table.method in ("auto", "weights")
    return _of_widths(
        widths,
        posterior_of,
        f"posterior at width {{}}, {len(data.x)} data, {table.method}",
        number,
        trial if by_weights else None,
        finished,
    )


def _trainings(
    study: Study,
    table: TrainingTable,
    finished: Callable[[str], bool],
    devices: Sequence[jax.Device] | int | None,
) -> list[Cost]:
    """Trials of the training of networks; a learning rate is looked for as they do."""
    data, number = table.rows.data, table.num_draws

    def trial(width: int) -> Seconds:
        return _try(
            lambda monitor: train_ensemble(
                study.network.with_width(width),
                data.x,
                data.y,
                data.x_new,
                times=table.times,
                num_draws=number,
                key=training_key(study.ensemble.seed),
                method=table.method,
                learning_rate=table.learning_rate,
                temperature=table.temperature,
                devices=devices,
                progress=monitor,
            )
        )

    what = f"training at width {{}}, {len(data.x)} data, {table.method}"
    return _of_widths(study.widths, trained_of, what, number, trial, finished)


def _of_widths(
    widths: Sequence[int],
    name_of: Callable[[int], str],
    what: str,
    number: int,
    trial: Callable[[int], Seconds] | None,
    finished: Callable[[str], bool],
) -> list[Cost]:
    """A step a width, some of them tried; without `trial` no time is known."""
    left = [width for width in widths if not finished(name_of(width))]
    tried = {} if trial is None else {w: trial(w)(number) for w in _some(left)}
    return [
        Cost(what.format(width), True, number, 0.0)
        if width not in left
        else Cost(
            what.format(width), False, number, _at(width, tried) if tried else None
        )
        for width in widths
    ]


class _EnoughError(Exception):
    """Ends a trial."""


def _try(run: Callable[[Callable[[Progress], None]], object]) -> Seconds:
    """Run until the pace is steady, or to the end if that is sooner."""
    told: list[tuple[int, float]] = []

    def monitor(progress: Progress) -> None:
        told.append((progress.num_draws, time.perf_counter()))
        if told[-1][1] - told[0][1] > _TRIAL_SECONDS and told[-1][0] > told[0][0]:
            raise _EnoughError

    begun = time.perf_counter()
    try:
        run(monitor)
    except _EnoughError:
        (first, then), (last, now) = told[0], told[-1]
        each = (now - then) / (last - first)
        start = max(then - begun - first * each, 0.0)
        return lambda number: start + number * each
    took = time.perf_counter() - begun
    return lambda number: took


def _some(widths: Iterable[int]) -> list[int]:
    """A few of them, the smallest and the largest included, evenly in the logarithm."""
    known = np.array(sorted(widths))
    if len(known) <= _TRIAL_WIDTHS:
        return [int(width) for width in known]
    wanted = np.geomspace(known[0], known[-1], _TRIAL_WIDTHS)
    nearest = {int(np.abs(np.log(known / width)).argmin()) for width in wanted}
    return [int(known[i]) for i in sorted(nearest)]


def _at(width: int, tried: dict[int, float]) -> float:
    """Seconds at a width between those tried, on a line in the logarithms."""
    widths = sorted(tried)
    logs = np.log([tried[w] for w in widths])
    return float(np.exp(np.interp(np.log(width), np.log(widths), logs)))
