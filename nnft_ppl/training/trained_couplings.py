"""Couplings of trained networks: the action fitted to them at every time."""

import math
from collections.abc import Sequence

import jax

from nnft_ppl._typing import Key
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.measures.empirical import Empirical
from nnft_ppl.inference.couplings.fit import fit_couplings
from nnft_ppl.training.result import TrainedEnsemble

COLUMNS = (
    *("operator", "time", "width", "value", "error"),
    *("natural", "natural_error", "verdict"),
)

type Row = tuple[str, float, int, float, float, float, float, str]


def fitted_couplings(
    trained: TrainedEnsemble, operators: Sequence[str], key: Key
) -> list[Row]:
    """A row of `COLUMNS` for every time and operator.

    Fitted is the field less its mean, about a Gaussian theory with the measured
    covariance of that time, over the new inputs. `natural` is the coupling in units in
    which every input has variance 1: the size of its vertex beside the Gaussian part,
    which does not grow merely because training shrinks the field.
    """
    action = Action(operators, measure=Empirical(trained.x_new))
    rows: list[Row] = []
    for time in trained.times:
        fit = fit_couplings(
            trained[time],
            action,
            [math.inf],
            key=jax.random.fold_in(key, trained.network.width),
            sampler="conjugate",
        )
        natural = fit.dimensionless[:, :, 0].reshape(-1, len(action.names))
        for row, c in zip(fit.summary().to_dict("records"), natural.T, strict=True):
            rows.append(
                (
                    row["operator"],
                    float(time),
                    trained.network.width,
                    float(row["mean"]),
                    float(row["sd"]),
                    float(c.mean()),
                    float(c.std(ddof=1)),
                    str(row["verdict"]),
                )
            )
    return rows
