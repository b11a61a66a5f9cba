"""Integration measures ∫ dμ_Λ(y): where the fields of an operator may sit.

In: a user's choice. Out: a frozen, hashable value that says which y a cutoff Λ lets in,
and how they are weighted. How the integral is done is `eft.integration.quadrature`'s.
"""

import json
from dataclasses import dataclass

import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._arguments import check_choice
from nnft_ppl._errors import SpecError
from nnft_ppl._typing import Points


@dataclass(frozen=True)
class Box:
    """∫ dy over [−Λ, Λ]^d, for d ≤ 3. Source: arXiv:2008.08601 §3.2."""

    def to_json(self) -> str:
        """The form that files carry."""
        return json.dumps({"measure": "box"})


@dataclass(frozen=True)
class Ball:
    """∫ dy over |y| ≤ Λ (Euclidean norm).

    Any dimension where the kernel has the declared symmetry "rotation": the integral
    is then reduced to the span of the inputs and the radius. Without it, d ≤ 3.
    """

    def to_json(self) -> str:
        """The form that files carry."""
        return json.dumps({"measure": "ball"})


@dataclass(frozen=True)
class GaussianCutoff:
    """∫ dy exp(−|y|²/(2Λ²)) over all space: a soft cutoff. Dimensions as `Ball`."""

    def to_json(self) -> str:
        """The form that files carry."""
        return json.dumps({"measure": "gaussian"})


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Empirical:
    """(1/n) Σ over those of n data points whose largest coordinate |y_a| is ≤ Λ.

    Any dimension. It is dimensionless, and it runs with Λ in steps only.

    Args:
        points: The data set, (n, dim).

    Raises:
        SpecError: No points, not two axes, or a number that is not finite.
    """

    points: Points

    def __init__(self, points: ArrayLike) -> None:
        """Check the points and keep a read-only copy."""
        try:
            given = np.array(points, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise SpecError(
                f"the points of an empirical measure are no array of real numbers "
                f"({error}); expected shape (number of points, dimension)"
            ) from error
        if given.ndim > 2:  # images, as networks take them
            given = given.reshape(len(given), -1)
        if given.ndim != 2 or not given.size:
            raise SpecError(
                f"the points of an empirical measure have shape {given.shape}; "
                "expected (number of points, dimension), at least one of each"
            )
        bad = np.flatnonzero(~np.isfinite(given).all(axis=1))
        if bad.size:
            raise SpecError(
                f"point {bad[0]} of an empirical measure is {given[bad[0]].tolist()}; "
                "points must be finite"
            )
        given.flags.writeable = False
        object.__setattr__(self, "points", given)

    def __eq__(self, other: object) -> bool:
        """Equal when the points are, in the same order."""
        if not isinstance(other, Empirical):
            return NotImplemented
        return np.array_equal(self.points, other.points)

    def __hash__(self) -> int:
        """Equal measures hash alike."""
        return hash((self.points.shape, (self.points + 0.0).tobytes()))

    def __repr__(self) -> str:
        """Show the size of the data set."""
        return f"Empirical({len(self.points)} points of {self.points.shape[1]})"

    def to_json(self) -> str:
        """The form that files carry; the points keep every digit."""
        return json.dumps({"measure": "empirical", "points": self.points.tolist()})


type Measure = Box | Ball | GaussianCutoff | Empirical

MEASURES = ("box", "ball", "gaussian", "empirical")
"""Names of the measures in study files and on the command line."""

_PLAIN: dict[str, type[Box | Ball | GaussianCutoff]] = {
    "box": Box,
    "ball": Ball,
    "gaussian": GaussianCutoff,
}


def measure_named(name: str, points: ArrayLike | None = None) -> Measure:
    """The measure of a name, as study files and the command line give it.

    Args:
        name: One of `MEASURES`.
        points: The data set, for `empirical` and only there.

    Raises:
        SpecError: No such name, or points where none belong or the reverse.
    """
    check_choice("measure", name, MEASURES)
    if (points is None) == (name == "empirical"):
        raise SpecError(
            f"measure {name!r} "
            + (
                "needs data points: nnft_ppl.Empirical(points), or a file of them"
                if points is None
                else "takes no data points; leave them out or choose 'empirical'"
            )
        )
    return Empirical(points) if points is not None else _PLAIN[name]()


def measure_from_json(text: str) -> Measure:
    """The measure that `to_json` wrote.

    Raises:
        SpecError: It is none of the known ones.
    """
    try:
        fields = dict(json.loads(text))
        name = fields.pop("measure")
        if name in _PLAIN and not fields:
            return _PLAIN[name]()
        if name == "empirical" and set(fields) == {"points"}:
            return Empirical(fields["points"])
    except (ValueError, TypeError, KeyError):
        pass
    raise SpecError(
        f"{text[:80]!r} is no measure; expected "
        f'{{"measure": name}} with a name of {[*_PLAIN, "empirical"]}, the last with '
        '"points"'
    )
