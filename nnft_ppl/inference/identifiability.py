"""Whether the data could tell the couplings apart, however precise they were.

A question about operators and inputs alone, answered before any sampling. Data that
could, but are too noisy to, are no error: the posterior is wide and `diagnose` says so.
"""

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import SpecError

NOT_IDENTIFIABLE = "couplings cannot be told apart"
"""In the place of a verdict, for an action that `check_identifiable` refuses."""

_ROUNDING = 1e-7
"""Relative accuracy of predictions: of integrals, and of normalised columns."""
_NAMED = 1e-3
"""Share of the largest part above which an operator takes part in a combination."""


def null_combination(design: Float[np.ndarray, "row operator"]) -> np.ndarray | None:
    """(operator,) combination of couplings that changes no prediction, or `None`.

    In units of each operator's size: of the root mean square of its prediction. The
    largest part is one.

    Args:
        design: Response of the data to each coupling.
    """
    columns = design / np.linalg.norm(design, axis=0)
    num_operators = columns.shape[1]
    _, singular, right = np.linalg.svd(columns, full_matrices=True)
    smallest = singular[-1] if len(singular) == num_operators else 0.0
    if smallest > _ROUNDING * singular[0]:
        return None
    null = right[-1]
    return np.asarray(null / null[np.argmax(np.abs(null))])


def check_identifiable(
    designs: Float[np.ndarray, "cutoff row operator"],
    names: tuple[str, ...],
    cutoffs: tuple[float, ...],
) -> None:
    """Refuse couplings that no data on these inputs could tell apart.

    Args:
        designs: Response of the data to each coupling, per cutoff.
        names: Of the operators.
        cutoffs: Λ.

    Raises:
        SpecError: More couplings than data, or operators that make the same prediction.
    """
    num_modes = designs.shape[1]
    if len(names) > num_modes:
        raise SpecError(
            f"{len(names)} couplings {list(names)} cannot be told from {num_modes} "
            "correlator entries; leave operators out or add inputs"
        )
    for design, cutoff in zip(designs, cutoffs, strict=True):
        null = null_combination(design)
        if null is not None:
            _refuse(null, names, cutoff)


def _refuse(null: np.ndarray, names: tuple[str, ...], cutoff: float) -> None:
    parts = [i for i in np.argsort(-np.abs(null)) if abs(null[i]) > _NAMED]
    combination = " ".join(
        f"{'+' if null[i] > 0 else '−'} {abs(null[i]):.3g}·{names[i]}" for i in parts
    ).removeprefix("+ ")
    involved = sorted(parts)
    raise SpecError(
        f"operators {', '.join(repr(names[i]) for i in involved)} make the same "
        f"prediction on these inputs at cutoff {cutoff:g}: adding {combination} (per "
        "unit of each one's prediction) changes nothing, so only a combination of the "
        "couplings could be inferred; leave one out or add inputs that tell them apart"
    )
