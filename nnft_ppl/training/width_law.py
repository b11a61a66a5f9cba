"""How the tangent kernel of finite width approaches its limit: powers of the width."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import ArrayLike

from nnft_ppl._arguments import check_kind, check_whole
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._html import card, table
from nnft_ppl._network import Network
from nnft_ppl._numbers import with_error
from nnft_ppl._typing import Key, Matrix
from nnft_ppl.training.measured_tangent_kernel import (
    MeasuredTangentKernel,
    measure_tangent_kernel,
)

_SHOWN = 2.0
"""Standard errors from 0 at which a shift can be told from none."""


@dataclass(frozen=True, eq=False)
class TangentKernelLaw:
    """Tangent kernels at several widths.

    Attributes:
        table: width (ascending), then, each with its standard error: `spread`, the
            variance of entries over draws relative to their squared means, both
            averaged over entries; `shift`, the part of the mean along the kernel at
            infinite width, less 1, NaN where that is not known.
    """

    table: pd.DataFrame

    @property
    def spread_exponent(self) -> tuple[float, float]:
        """Power p of spread ∝ width^p, and its error; −1 for wide networks."""
        return self._exponent("spread")

    @property
    def shift_exponent(self) -> tuple[float, float]:
        """The same of the shift, which vanishes with one hidden layer.

        NaN, with an infinite error, where it is within its errors of 0.
        """
        return self._exponent("shift")

    def _repr_html_(self) -> str:
        """The table for notebooks, and the powers."""
        powers = [
            (f"power of the width, {name}", _power_text(*found))
            for name, found in (
                ("spread", self.spread_exponent),
                ("shift", self.shift_exponent),
            )
        ]
        shown = table(self.table.reset_index())
        return card("TangentKernelLaw", [*powers, ("", shown)])

    def _exponent(self, name: str) -> tuple[float, float]:
        width = np.log(self.table.index.to_numpy(float))
        value, error = (
            self.table[column].to_numpy() for column in (name, f"{name}_error")
        )
        if len(width) < 2 or not (
            (np.abs(value) > _SHOWN * error).all()
            and abs(np.sign(value).sum()) == len(value)
        ):
            return np.nan, np.inf
        weight = (value / error) ** 2
        centre = np.average(width, weights=weight)
        around = width - centre
        size = float(np.sum(weight * around**2))
        slope = float(np.sum(weight * around * np.log(np.abs(value)))) / size
        return slope, size**-0.5


def _power_text(power: float, error: float) -> str:
    return with_error(power, error) if np.isfinite(error) else "not told from none"


def tangent_kernel_by_width(
    network: Network,
    widths: Sequence[int],
    x: ArrayLike,
    *,
    num_draws: int = 1000,
    key: Key,
    parametrization: str = "ntk",
) -> TangentKernelLaw:
    """Mean and fluctuations of the tangent kernel at each width, and their powers.

    Args:
        network: Its own width plays no part.
        widths: Two different whole numbers or more.
        x: Inputs (point, input_dim).
        num_draws: Networks of each width.
        key: A JAX random key, the same for every width.
        parametrization: `ntk` or `standard`; each mean is compared with the limit at
            its own width.

    Raises:
        As `measure_tangent_kernel`.

    Source: Dyer and Gur-Ari, arXiv:1909.11304: both fall as 1/width.
    """
    check_kind("network", network, Network)
    chosen = checked_widths(widths)
    rows = []
    for width in chosen:
        there = network.with_width(width)
        found = measure_tangent_kernel(
            there, x, num_draws=num_draws, key=key, parametrization=parametrization
        )
        try:
            limit = there.tangent_kernel(x, parametrization=parametrization)
        except UnavailableError:
            limit = None
        rows.append((*_spread(found), *_shift(found, limit)))
    return TangentKernelLaw(
        pd.DataFrame(
            rows,
            index=pd.Index(chosen, name="width"),
            columns=["spread", "spread_error", "shift", "shift_error"],
        )
    )


def checked_widths(widths: Sequence[int]) -> list[int]:
    """Ascending.

    Raises:
        SpecError: They are not two different whole numbers or more.
    """
    chosen = sorted({check_whole("widths", width) for width in widths})
    if len(chosen) < 2:
        raise SpecError(
            f"`widths` are {list(widths)}; expected two different ones or more"
        )
    return chosen


def _spread(found: MeasuredTangentKernel) -> tuple[float, float]:
    """Mean variance over mean square, and its error by groups of networks."""
    size = float(np.mean(found.values**2))
    by_group = found.variances_by_group.mean(axis=1)
    error = by_group.std(ddof=1) / len(by_group) ** 0.5
    return float(np.mean(np.diag(found.covariance))) / size, float(error) / size


def _shift(found: MeasuredTangentKernel, limit: Matrix | None) -> tuple[float, float]:
    """Projection of the mean on the limit, less 1: linear, so that noise adds none."""
    if limit is None:
        return np.nan, np.nan
    num_outputs = found.network.hyperparameters.output_dim
    rows, columns = found.entries.T
    packed = np.kron(limit, np.eye(num_outputs))[rows, columns]
    size = float(packed @ packed)
    shift = float(packed @ (found.values - packed)) / size
    variance = float(packed @ found.covariance @ packed) / found.num_draws
    return shift, variance**0.5 / size
