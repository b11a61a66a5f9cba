"""Weights of operators at integration points, checked: plugins write them.

In: an operator and points. Out: float64 numbers of the right shape, none of them NaN.
An infinite one is let through: where no field reaches it is left out, and elsewhere the
integral is refused.
"""

from collections.abc import Callable

import numpy as np

from nnft_ppl._errors import PluginError
from nnft_ppl._typing import Points
from nnft_ppl.operator import Operator, ProductWeight


def weight_at(operator: Operator, *positions: np.ndarray) -> np.ndarray:
    """The operator's weight at (..., dim) points, (...).

    Raises:
        PluginError: It does not run, or gives another shape, no real numbers, or NaN.
    """
    values = _evaluated(operator, "its weight", operator.weight, positions)
    expected = np.broadcast_shapes(*(p.shape[:-1] for p in positions))
    if values.shape != expected:
        raise PluginError(
            f"operator {operator.name!r}: its weight has shape {values.shape} for "
            f"points of shape {positions[0].shape}; expected {expected}"
        )
    _require_numbers(operator, "its weight", values, positions)
    return values


def factor_at(operator: Operator, point: int, positions: Points) -> np.ndarray:
    """One factor of the operator's product weight at (point, dim), (point, term).

    Raises:
        PluginError: As in `weight_at`.
    """
    assert isinstance(operator.weight, ProductWeight)  # the caller has looked
    name = f"factor {point} of its weight"
    factor = operator.weight.factors[point]
    values = _evaluated(operator, name, factor, (positions,))
    if values.ndim != 2 or len(values) != len(positions):
        raise PluginError(
            f"operator {operator.name!r}: {name} has shape {values.shape} for "
            f"{len(positions)} points; expected (point, term)"
        )
    _require_numbers(operator, name, values, (positions,))
    return values


def _evaluated(
    operator: Operator,
    name: str,
    function: Callable[..., np.ndarray],
    positions: tuple[np.ndarray, ...],
) -> np.ndarray:
    """Float64 values of a plugin's function."""
    try:
        # Overflow far away is looked for in the integral, invalid numbers below.
        with np.errstate(all="ignore"):
            given = np.asarray(function(*positions))
        if given.dtype.kind not in "biuf":
            raise TypeError(f"it gives {given.dtype} numbers")
    except Exception as error:
        raise PluginError(
            f"operator {operator.name!r}: {name} failed at points of shape "
            f"{positions[0].shape} ({type(error).__name__}: {error}); expected a "
            "function of one array (..., dim) per integration point that gives real "
            "numbers"
        ) from error
    return given.astype(np.float64)


def _require_numbers(
    operator: Operator, name: str, values: np.ndarray, positions: tuple[np.ndarray, ...]
) -> None:
    """Raise `PluginError` at the first point whose value is NaN."""
    bad = np.argwhere(np.isnan(values))
    if len(bad):
        where = tuple(bad[0][: positions[0].ndim - 1])
        points = [np.broadcast_to(p, positions[0].shape)[where] for p in positions]
        raise PluginError(
            f"operator {operator.name!r}: {name} is NaN at y = "
            f"{', '.join(str(point.tolist()) for point in points)}; expected a number "
            "at every point of the measure"
        )
