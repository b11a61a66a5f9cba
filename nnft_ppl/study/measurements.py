"""What a study measures: every measurement of networks, before any is made."""

from collections.abc import Iterator
from dataclasses import dataclass

import jax

from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key, Points
from nnft_ppl.correlators.sampled.estimators import PLAIN
from nnft_ppl.study.directory import FIT_DATA, correlators
from nnft_ppl.study.spec import EftTable, Study


@dataclass(frozen=True)
class Keys:
    """The random keys of a study."""

    widths: Key
    fit_data: Key
    fit: Key


def keys_of(study: Study) -> Keys:
    """From its seed."""
    return Keys(*jax.random.split(seed_key(study.ensemble.seed), 3))


@dataclass(frozen=True, eq=False)
class Measurement:
    """One measurement.

    Attributes:
        name: Of its file in the run directory.
        what: The same in words.
        network: Of one width.
        points: Inputs (point, dim).
        num_draws: Networks; with a target error, at most.
        key: Their random key.
        estimator: See `measure_correlators`.
        target_error: At which it stops, or `None`.
    """

    name: str
    what: str
    network: Network
    points: Points
    num_draws: int
    key: Key
    estimator: str
    target_error: float | None


def of_widths(study: Study) -> Iterator[Measurement]:
    """Of every width by every estimator; none where draws are read or none is asked."""
    ensemble, points = study.ensemble, study.points
    if points is None or ensemble.file is not None:
        return
    keys = keys_of(study)
    for width in study.widths:
        key = jax.random.fold_in(keys.widths, width)
        routes = [(ensemble.estimator, ensemble.num_draws, ensemble.target_error)]
        if ensemble.plain_draws:
            routes.append((PLAIN.name, ensemble.plain_draws, None))
        for estimator, num_draws, target_error in routes:
            yield Measurement(
                correlators(width, estimator),
                f"width {width}, {_how_many(num_draws, target_error)}, {estimator}",
                study.network.with_width(width),
                points,
                num_draws,
                key,
                estimator,
                target_error,
            )


def of_fit(study: Study, eft: EftTable) -> Measurement | None:
    """Of the data of the fit; `None` where these are read or exact."""
    ensemble = study.ensemble
    if ensemble.file is not None or eft.data == "exact":
        return None
    return Measurement(
        FIT_DATA,
        f"data of the fit: width {eft.width}, "
        f"{_how_many(eft.num_draws, ensemble.target_error)}",
        study.network,
        eft.points,
        eft.num_draws,
        keys_of(study).fit_data,
        ensemble.estimator,
        ensemble.target_error,
    )


def _how_many(num_draws: int, target_error: float | None) -> str:
    """What a measurement is to take, in words."""
    if target_error is None:
        return f"{num_draws:,} networks"
    return f"G4c to {100 * target_error:.2g} % by at most {num_draws:,} networks"
