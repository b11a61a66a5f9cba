"""The steps of a study that train networks: every width, then all compared."""

from collections.abc import Iterator, Sequence
from functools import cache, partial

import jax

from nnft_ppl.study.directory import BY_WIDTH, trained_of
from nnft_ppl.study.finished import read_trained
from nnft_ppl.study.spec import Study, training_key
from nnft_ppl.study.steps import Steps
from nnft_ppl.study.training_table import TrainingTable
from nnft_ppl.training.by_width import common_rate, compare_widths
from nnft_ppl.training.result import TrainedEnsemble
from nnft_ppl.training.train import train_ensemble


def train(
    steps: Steps,
    study: Study,
    table: TrainingTable,
    devices: Sequence[jax.Device] | int | None,
) -> None:
    """Networks of every width, trained as `training_by_width` does, and its verdict.

    Args:
        steps: Of the study in its directory.
        study: With the networks.
        table: Its [training].
        devices: As `run_study` has them.
    """
    data, key = table.rows.data, training_key(study.ensemble.seed)

    @cache
    def rate() -> float | None:
        """Looked for only where a width is yet to be trained."""
        if table.learning_rate is not None:
            return table.learning_rate
        return common_rate(
            study.network,
            study.widths,
            data.x,
            data.y,
            table.method,
            table.temperature,
            key,
            devices,
        )

    def make_width(width: int) -> None:
        name = trained_of(width)
        found = train_ensemble(
            study.network.with_width(width),
            data.x,
            data.y,
            data.x_new,
            times=table.times,
            num_draws=table.num_draws,
            key=jax.random.fold_in(key, width),
            method=table.method,
            learning_rate=rate(),
            temperature=table.temperature,
            checkpoint=steps.directory.begin(name),
            devices=devices,
            progress=steps.progress,
        )
        steps.directory.save(name, found)
        steps.directory.end(name)

    for width in study.widths:
        what = f"width {width}, {table.num_draws:,} networks trained"
        steps.make(trained_of(width), what, partial(make_width, width))

    def ensembles() -> Iterator[TrainedEnsemble]:
        for width in study.widths:
            yield read_trained(steps.directory, width)

    def compare() -> None:
        found = compare_widths(
            ensembles(), key=key, operators=table.operators, tolerance=table.tolerance
        )
        steps.directory.save(BY_WIDTH, found)

    steps.make(BY_WIDTH, "trained widths compared", compare)
