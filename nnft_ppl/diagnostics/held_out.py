"""Held-out inputs: do the couplings predict correlators that they have not seen?

In: a `CouplingFit`, and correlators of the same network at other inputs. Out: a table
of errors and coverage per cutoff and order. This is the test of arXiv:2008.08601 §4.3,
with inputs times √2/2; nothing is fitted to the held-out correlators.
"""

import dataclasses

import numpy as np
import pandas as pd
from jaxtyping import Float

from nnft_ppl._arguments import check_kind
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._rms import rms
from nnft_ppl._typing import Packed
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.legs import check_single_output
from nnft_ppl.correlators.partitions import MAX_ORDER
from nnft_ppl.correlators.symmetric import entry_size
from nnft_ppl.inference.couplings.omitted_orders import TruncationPrior
from nnft_ppl.inference.couplings.prediction import predict_moment
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.likelihood import Likelihood, build_likelihood
from nnft_ppl.inference.own_propagator import as_fitted, has_own_propagator
from nnft_ppl.inference.posterior import INTERVAL

_ROUNDING = 1e-9
"""Relative precision of exact correlators and of cutoff integrals."""

type Predicted = Float[np.ndarray, "chain draw entry"]


def held_out(
    fit: CouplingFit, correlators: Correlators, *, truncation: bool = False
) -> pd.DataFrame:
    """Errors and coverage of a fit's predictions at inputs it has not seen.

    The relative root-mean-square error of a prediction p of data y with sampling
    variances v is √(⟨(p − y)² − v⟩ / ⟨y² − v⟩), ⟨⟩ over entries, all weighted alike:
    what is left when the data's own noise is subtracted, 0 when it is within that.

    Args:
        fit: From `fit_couplings`.
        correlators: Exact or measured, of the fit's network, at other inputs.
        truncation: Add the omitted powers of 1/N to the predictive intervals of the
            moments, as `fit.predict` does.

    Returns:
        One row per cutoff and order k that `correlators` hold and the action predicts,
        even ones from 4 and, of an action with odd operators, odd ones from 3, and 1
        where it makes the mean; else the field is taken less its mean: cutoff, order;
        connected_error, connected_lower, connected_upper (posterior median and
        equal-tailed 90 % interval of the relative error of G^(k)_c; NaN where the
        action predicts none); connected_coverage (fraction of entries inside their
        90 % predictive intervals, discrepancy and sampling noise included);
        connected_noise (rms sampling error over rms of the data); moment_error,
        moment_lower, moment_upper, moment_coverage, moment_noise, the same for the full
        G^(k); gaussian_error (relative error of G^(k) by the Gaussian process alone).

    Raises:
        SpecError: Another network, an input that was fitted, or an order missing.
        UnavailableError: The architecture gives no kernel.
        FitError: A cutoff integral did not converge.
    """
    check_kind("fit", fit, CouplingFit, "what fit_couplings returns")
    check_held_out(fit.correlators, correlators)
    orders = _predicted_orders(fit, correlators)
    correlators = as_fitted(correlators, with_mean=fit.action.makes_mean)
    likelihood = _predictor(fit, correlators)
    ratio = likelihood.scale / fit.likelihood.scale
    draws = fit.dimensionless * ratio  # the couplings g are the same
    rng = np.random.default_rng(fit.seed)
    rows = []
    for which, cutoff in enumerate(fit.cutoffs):
        couplings, s = draws[:, :, which], fit.discrepancy[:, :, which]
        smooth = likelihood.expected(which, couplings)
        predictive = smooth + s[..., None] * rng.standard_normal(smooth.shape)
        for order in orders:
            row = {"cutoff": cutoff, "order": order}
            data, error = (
                correlators.connected(order),
                correlators.connected_error(order),
            )
            if order in likelihood.orders:
                span = likelihood.spans[likelihood.orders.index(order)]
                row |= _compare(
                    "connected",
                    data,
                    error,
                    likelihood.to_entries(smooth)[..., span],
                    likelihood.to_entries(predictive)[..., span],
                    rng,
                )
            else:
                names = ("error", "lower", "upper", "coverage")
                row |= {f"connected_{name}": np.nan for name in names}
                row["connected_noise"] = _noise(data, error)
            data, error = correlators.moment(order), correlators.error(order)
            expected, replicated = (
                predict_moment(
                    correlators,
                    likelihood,
                    draws,
                    discrepancy,
                    order,
                    [which],
                    rng,
                    prior,
                )[:, :, 0]
                for discrepancy, prior in (
                    (np.zeros_like(fit.discrepancy), None),
                    (fit.discrepancy, TruncationPrior() if truncation else None),
                )
            )
            row |= _compare("moment", data, error, expected, replicated, rng)
            gaussian = correlators.gaussian_moment(order)
            row["gaussian_error"] = float(relative_error(gaussian, data, error))
            rows.append(row)
    return pd.DataFrame(rows)


def check_held_out(fitted: Correlators, held_out: Correlators) -> None:
    """Refuse what is not held out, or not of the network that was fitted.

    Raises:
        SpecError: Not correlators, another network, or an input that was fitted.
        UnavailableError: The propagator is the measured 2-pt function at the inputs.
    """
    for given in (fitted, held_out):
        check_kind("correlators", given, Correlators)
        check_single_output(given)
    if has_own_propagator(fitted) or not held_out.network.has_kernel:
        raise UnavailableError(
            "no kernel is known, and the measured 2-pt function, which served as the "
            "propagator of the fit, is known at its own inputs alone: nothing can be "
            "predicted at others; give `kernel` with the draws"
        )
    if held_out.network != fitted.network:
        raise SpecError(
            f"the held-out correlators are of {held_out.network!r}, those fitted are "
            f"of {fitted.network!r}; give correlators of the same network"
        )
    seen = (held_out.x[:, None] == fitted.x[None]).all(axis=-1).any(axis=1)
    if seen.any():
        raise SpecError(
            f"input {held_out.x[seen][0].tolist()} was fitted, so it is not held out; "
            "give other inputs, for instance the fitted ones times 0.7"
        )


def _predicted_orders(fit: CouplingFit, held_out: Correlators) -> list[int]:
    """Orders of the held-out correlators that the action predicts.

    Raises:
        SpecError: There are none.
    """
    wanted = set(range(4, MAX_ORDER + 1, 2))
    if fit.likelihood.has_odd_orders:
        wanted |= set(range(3, MAX_ORDER + 1))
    wanted |= {1} if fit.action.makes_mean else set()
    found = [order for order in held_out.orders if order in wanted]
    if not found:
        raise SpecError(
            f"the held-out correlators hold orders {held_out.orders}, none of which "
            f"{fit.action!r} predicts: ask for orders=(2, 4), or for odd ones of an "
            "action with odd operators"
        )
    return found


def _predictor(fit: CouplingFit, correlators: Correlators) -> Likelihood:
    """The fit's predictions at the held-out inputs, with nothing learned from the data.

    `build_likelihood` sizes the discrepancy by the data it is given; here that size
    is of the fitted ones, carried over by the kernel. Modes are entries.
    """
    there = build_likelihood(correlators, fit.action, fit.cutoffs)
    here = fit.likelihood
    network = correlators.network
    sizes = []
    for order, span in zip(here.orders, here.spans, strict=True):
        natural_here, natural_there = (
            entry_size(np.diag(network.propagator(x)), order)
            for x in (fit.correlators.x, correlators.x)
        )
        level = here.size[span].max() / natural_here.max()
        sizes.append(level * natural_there)
    size = np.concatenate(sizes)
    alive = size > 0
    to_modes = (
        there.rotation[alive] * (there.size / np.where(alive, size, 1))[alive, None]
    )
    rotation = np.zeros_like(there.rotation)
    rotation[alive] = np.eye(int(alive.sum()))
    quadratic = (
        None
        if there.quadratic is None
        else np.einsum("em,cmij->ceij", to_modes, there.quadratic)
    )
    return dataclasses.replace(
        there,
        size=size,
        rotation=rotation,
        amplitudes=to_modes @ there.amplitudes,
        design=to_modes @ there.design,
        quadratic=quadratic,
    )


def _compare(
    name: str,
    data: Packed,
    error: Packed,
    expected: Predicted,
    predictive: Predicted,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Columns of one kind of prediction, named after it."""
    tail = 50 * (1 - INTERVAL)
    lower, median, upper = np.percentile(
        relative_error(expected, data, error), [tail, 50, 100 - tail]
    )
    spread = np.hypot(error, _ROUNDING * rms(data))
    replicated = predictive + spread * rng.standard_normal(predictive.shape)
    low, high = np.percentile(replicated, [tail, 100 - tail], axis=(0, 1))
    return {
        f"{name}_error": float(median),
        f"{name}_lower": float(lower),
        f"{name}_upper": float(upper),
        f"{name}_coverage": float(np.mean((low <= data) & (data <= high))),
        f"{name}_noise": _noise(data, error),
    }


def relative_error(
    predicted: Float[np.ndarray, "*batch entry"], data: Packed, error: Packed
) -> Float[np.ndarray, "*batch"]:
    """√(⟨(predicted − data)² − error²⟩ / ⟨data² − error²⟩), averages over entries.

    Args:
        predicted: Without noise.
        data: Measured or exact.
        error: One standard error of each entry.
    """
    noise = np.mean(error**2)
    left = np.mean((predicted - data) ** 2, axis=-1) - noise
    size = max(np.mean(data**2) - noise, np.finfo(float).tiny)
    return np.asarray(np.sqrt(np.maximum(left, 0) / size))


def _noise(data: Packed, error: Packed) -> float:
    """Sampling error over size, root mean squares."""
    return rms(error) / rms(data)
