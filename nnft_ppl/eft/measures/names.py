"""Measures by name: what study files, the command line and saved files know.

In: a name, or the JSON of a file. Out: a measure. Names are those of the built-in
measures; files also know those of a user's, once their class is defined.
"""

import json
from collections.abc import Hashable
from dataclasses import is_dataclass

from jaxtyping import ArrayLike

from nnft_ppl._arguments import check_choice
from nnft_ppl._errors import SpecError
from nnft_ppl.eft.measures.ball import Ball
from nnft_ppl.eft.measures.box import Box
from nnft_ppl.eft.measures.empirical import Empirical
from nnft_ppl.eft.measures.gaussian import GaussianCutoff
from nnft_ppl.eft.measures.measure import Measure

_BUILT_IN: dict[str, type[Measure]] = {
    kind.name: kind for kind in (Box, Ball, GaussianCutoff, Empirical)
}

MEASURES = tuple(_BUILT_IN)
"""Names of the measures in study files and on the command line."""


def measure_named(name: str, points: ArrayLike | None = None) -> Measure:
    """The measure of a name, as study files and the command line give it.

    Args:
        name: One of `MEASURES`.
        points: The data set, for `empirical` and only there.

    Raises:
        SpecError: No such name, or points where none belong or the reverse.
    """
    check_choice("measure", name, MEASURES)
    if (points is None) == (name == Empirical.name):
        raise SpecError(
            f"measure {name!r} "
            + (
                "needs data points: nnft_ppl.Empirical(points), or a file of them"
                if points is None
                else "takes no data points; leave them out or choose 'empirical'"
            )
        )
    return Empirical(points) if points is not None else _BUILT_IN[name]()


def check_measure(given: object) -> Measure:
    """The measure that was given for one.

    Raises:
        SpecError: It is none.
    """
    if (
        isinstance(given, Measure)
        and is_dataclass(given)
        and isinstance(given, Hashable)
        and given.name
    ):
        return given
    raise SpecError(
        f"`measure` is {given!r}; expected nnft_ppl.Box(), Ball(), GaussianCutoff(), "
        "Empirical(points), or an object of a frozen dataclass of your own that is "
        "derived from nnft_ppl.Measure and has a `name`"
    )


def measure_from_json(text: str) -> Measure:
    """The measure that `to_json` wrote.

    Raises:
        SpecError: It is none of the known ones.
    """
    known = _known()
    try:
        fields = dict(json.loads(text))
        return known[fields.pop("measure")](**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise SpecError(
            f'{text[:80]!r} is no measure; expected {{"measure": name}} with a name of '
            f"{sorted(known)} and the fields of that one. A measure of your own is "
            "known once its class is defined: do so, or import its module, and read "
            "the file again"
        ) from error


def check_measure_is_saved(measure: Measure) -> None:
    """Refuse a measure that a file could not bring back.

    Raises:
        SpecError: Name and fields do not give it again.
    """
    try:
        comes_back = measure_from_json(measure.to_json()) == measure
    except (TypeError, SpecError):
        comes_back = False
    if not comes_back:
        raise SpecError(
            f"measure {measure!r} would not come back from a file, which holds its "
            f"name {measure.name!r} and its fields; give the class a name that no "
            "other has, and fields that are numbers or words, to save fits with it"
        )


def _known() -> dict[str, type[Measure]]:
    """Every measure by name: those defined so far, the last of one name, and ours."""
    defined = {kind.name: kind for kind in Measure.__subclasses__() if kind.name}
    return {**defined, **_BUILT_IN}
