"""The steps of a study that condition networks on data: posteriors, then methods."""

from collections.abc import Sequence
from functools import partial

import jax

from nnft_ppl import store
from nnft_ppl.bayes.four_methods import compare_with
from nnft_ppl.bayes.posterior import posterior
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.study.data_table import DataTable
from nnft_ppl.study.directory import FIT, METHODS, posterior_of
from nnft_ppl.study.finished import read_posterior, why_left_out
from nnft_ppl.study.spec import Study, data_key
from nnft_ppl.study.steps import Steps


def condition(
    steps: Steps,
    study: Study,
    table: DataTable,
    devices: Sequence[jax.Device] | int | None,
) -> None:
    """The posterior of every width, and the other methods beside it at one.

    Args:
        steps: Of the study in its directory.
        study: With the networks.
        table: Its [data].
        devices: As `run_study` has them.
    """
    data, key = table.data, data_key(study.ensemble.seed)

    def make_posterior(width: int) -> None:
        name = posterior_of(width)
        found = posterior(
            study.network.with_width(width),
            data.x,
            data.y,
            data.x_new,
            noise_std=table.noise_std,
            num_draws=table.num_draws,
            num_samples=table.num_samples,
            method=table.method,
            key=key,
            checkpoint=steps.directory.begin(name),
            devices=devices,
            progress=steps.progress,
        )
        steps.directory.save(name, found)
        steps.directory.end(name)

    for width in widths_of(table, study.widths):
        what = f"posterior at width {width}, {len(data.x)} data"
        steps.make(posterior_of(width), what, partial(make_posterior, width))

    def make_comparison() -> None:
        exact, fit = read_posterior(steps.directory, table.width), None
        if study.eft is not None:
            fit = CouplingFit.from_data(store.read(steps.directory.own(FIT)))
            reason = why_left_out(fit, exact)
            if reason is not None:
                steps.say(f"no effective theory beside the posterior: {reason}")
                fit = None
        compared = compare_with(
            exact,
            noise_std=table.noise_std,
            num_draws=table.num_draws,
            key=key,
            fit=fit,
            y_new=data.y_new,
            tolerance=table.tolerance,
        )
        steps.directory.save(METHODS, compared)

    steps.make(METHODS, f"methods compared at width {table.width}", make_comparison)


def widths_of(table: DataTable, widths: Sequence[int]) -> list[int]:
    """Those that are given the data: the study's, and that of the comparison."""
    return sorted({*widths, table.width})
