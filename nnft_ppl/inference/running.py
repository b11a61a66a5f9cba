"""The running of fitted couplings: their posterior beside the theory's local value."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.running import local_exponent


def measure_running(
    action: Action,
    correlators: Correlators,
    cutoffs: tuple[float, ...],
    couplings: Float[np.ndarray, "chain draw cutoff operator"],
) -> xr.Dataset:
    """Exponents of the couplings g; see `CouplingFit.running`."""
    names = list(action.names)
    finite = np.flatnonzero(np.isfinite(cutoffs))
    finite = finite[np.argsort(np.array(cutoffs)[finite])]
    exponent = np.full(couplings.shape, np.nan)
    slope = np.full((*couplings.shape[:2], len(names)), np.nan)
    if len(finite) > 1:
        log_cutoff = np.log(np.array(cutoffs)[finite])
        log_coupling = np.log(np.abs(couplings)[:, :, finite])
        exponent[:, :, finite] = np.gradient(log_coupling, log_cutoff, axis=2)
        centred = log_cutoff - log_cutoff.mean()
        slope = np.einsum("kdco,c->kdo", log_coupling, centred) / np.sum(centred**2)
    theory = local_exponent(
        action, correlators.network, correlators.x, np.array(cutoffs)
    )
    return xr.Dataset(
        {
            "exponent": (("chain", "draw", "cutoff", "operator"), exponent),
            "theory": (("cutoff", "operator"), np.asarray(theory)),
            "slope": (("chain", "draw", "operator"), slope),
        },
        coords={"cutoff": list(cutoffs), "operator": names},
    )
