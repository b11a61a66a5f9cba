"""Numbers as objects of gvar, of P. Lepage's lsqfit."""

from importlib import import_module
from typing import Any

import numpy as np

from nnft_ppl._errors import UnavailableError
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.export.numbers import numbers_of
from nnft_ppl.inference.couplings.result import CouplingFit


def to_gvar(found: CouplingFit | Correlators) -> dict[Any, Any]:
    """Couplings or connected correlators as Gaussian variables of gvar.

    Args:
        found: From `fit_couplings`, or correlators from anywhere.

    Returns:
        {cutoff: array of `gvar.GVar`, one an operator}, or {order: array, one an
        entry}. Correlators of all orders are correlated, couplings at one cutoff.

    Raises:
        SpecError: It is neither a fit nor correlators.
        UnavailableError: gvar is not installed.
    """
    numbers = numbers_of(found)
    gvar = _gvar()
    grouped: dict[Any, list[Any]] = {}
    for block in numbers.blocks:
        made = gvar.gvar(block.values, block.covariance)
        for (key, _), one in zip(block.labels, made, strict=True):
            grouped.setdefault(key, []).append(one)
    return {key: np.array(values) for key, values in grouped.items()}


def _gvar() -> Any:
    """The optional library."""
    try:
        return import_module("gvar")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "gvar is not installed; install it with: pip install 'nnft-ppl[gvar]'"
        ) from error
