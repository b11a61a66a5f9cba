"""The running of fitted couplings: their posterior beside the theory's value."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.flow.exponents import running_alone


def measure_running(
    action: Action,
    correlators: Correlators,
    cutoffs: tuple[float, ...],
    couplings: Float[np.ndarray, "chain draw cutoff operator"],
) -> xr.Dataset:
    """Exponents of the couplings g; see `CouplingFit.running`.

    Differences between cutoffs are exponents averaged over the interval, so the theory
    is given in the same form: `theory_exponent` and `theory_slope` are what `exponent`
    and `slope` become when the couplings are those of each operator alone.
    """
    names = list(action.names)
    finite = np.flatnonzero(np.isfinite(cutoffs))
    finite = finite[np.argsort(np.array(cutoffs)[finite])]
    theory, log_theory = running_alone(
        action, correlators.network, correlators.x, np.array(cutoffs)
    )
    exponent, theory_exponent = (np.full(a.shape, np.nan) for a in (couplings, theory))
    slope = np.full((*couplings.shape[:2], len(names)), np.nan)
    theory_slope = np.full(len(names), np.nan)
    if len(finite) > 1:
        log_cutoff = np.log(np.array(cutoffs)[finite])
        log_coupling = np.log(np.abs(couplings)[:, :, finite])
        log_theory = log_theory[finite]
        exponent[:, :, finite] = np.gradient(log_coupling, log_cutoff, axis=2)
        theory_exponent[finite] = np.gradient(log_theory, log_cutoff, axis=0)
        centred = log_cutoff - log_cutoff.mean()
        line = centred / np.sum(centred**2)
        slope = np.einsum("kdco,c->kdo", log_coupling, line)
        theory_slope = np.einsum("co,c->o", log_theory, line)
    return xr.Dataset(
        {
            "exponent": (("chain", "draw", "cutoff", "operator"), exponent),
            "theory": (("cutoff", "operator"), theory),
            "theory_exponent": (("cutoff", "operator"), theory_exponent),
            "slope": (("chain", "draw", "operator"), slope),
            "theory_slope": ("operator", theory_slope),
        },
        coords={"cutoff": list(cutoffs), "operator": names},
    )
