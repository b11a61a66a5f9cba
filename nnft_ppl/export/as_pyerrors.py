"""Numbers as observables of pyerrors, of lattice field theory."""

from importlib import import_module
from typing import Any

import numpy as np

from nnft_ppl._errors import UnavailableError
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.export.numbers import numbers_of
from nnft_ppl.inference.couplings.result import CouplingFit

_ROUNDING = 1e-12
"""Added to correlations, of which pyerrors takes no eigenvalue below zero."""


def to_pyerrors(found: CouplingFit | Correlators, name: str = "nnft") -> dict[Any, Any]:
    """Couplings or connected correlators as `pyerrors.Obs` with their covariance.

    Args:
        found: From `fit_couplings`, or correlators from anywhere.
        name: Of the covariance, which pyerrors takes for one source of errors: two
            results need two names.

    Returns:
        {cutoff: array of `pyerrors.Obs`, one an operator}, or {order: array, one an
        entry}. The errors are there after `gamma_method()`, which has been called.

    Raises:
        SpecError: It is neither a fit nor correlators.
        UnavailableError: pyerrors is not installed.
    """
    numbers = numbers_of(found)
    pyerrors = _pyerrors()
    grouped: dict[Any, list[Any]] = {}
    for number, block in enumerate(numbers.blocks):
        size = len(block.values)
        raised = block.correlation + _ROUNDING * size * np.eye(size)
        units = pyerrors.cov_Obs([0.0] * size, raised, f"{name}_{number}")
        # One number alone comes as no list.
        units = units if isinstance(units, list) else [units]
        rows = zip(block.labels, units, block.values, block.errors, strict=True)
        for (key, _), unit, value, error in rows:
            one = float(value) + float(error) * unit
            one.gamma_method()
            grouped.setdefault(key, []).append(one)
    return {key: np.array(values) for key, values in grouped.items()}


def _pyerrors() -> Any:
    """The optional library."""
    try:
        return import_module("pyerrors")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "pyerrors is not installed; install it with: "
            "pip install 'nnft-ppl[pyerrors]'"
        ) from error
