"""Posterior predictive of the full correlators at the fitted inputs."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import SpecError
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.correlators.wick import pack_kernel
from nnft_ppl.eft.predict import full_from_connected
from nnft_ppl.inference.likelihood import Likelihood


def predict_moment(
    correlators: Correlators,
    likelihood: Likelihood,
    couplings: Float[np.ndarray, "chain draw cutoff operator"],
    discrepancy: Float[np.ndarray, "chain draw cutoff"],
    order: int,
    which: Sequence[int],
    rng: np.random.Generator,
) -> Float[np.ndarray, "chain draw wanted entry"]:
    """Draws of G^(order); see `CouplingFit.predict`.

    Args:
        correlators: The data; give network and inputs.
        likelihood: The problem that was fitted.
        couplings: Dimensionless couplings c.
        discrepancy: s.
        order: 2, 4 or 6.
        which: Numbers of the cutoffs wanted.
        rng: For the discrepancy; the same random numbers serve every cutoff.

    Raises:
        SpecError: Order not supported.
    """
    if order not in (2, 4, 6):
        raise SpecError(f"order {order!r} cannot be predicted; choose 2, 4 or 6")
    num_points = len(correlators.x)
    kernel = pack_kernel(correlators.network.kernel(correlators.x))
    sampled = discrepancy.shape[:2]
    draws = np.empty((*sampled, len(which), num_entries(num_points, order)))
    noise = rng.standard_normal((*sampled, len(likelihood.amplitudes)))
    sizes = [num_entries(num_points, k) for k in likelihood.orders]
    for place, cutoff in enumerate(which):
        modes = likelihood.expected(cutoff, couplings[:, :, cutoff])
        modes = modes + discrepancy[..., cutoff, None] * noise
        all_orders = likelihood.to_entries(modes)
        parts = np.split(all_orders, np.cumsum(sizes)[:-1], axis=-1)
        connected = dict(zip(likelihood.orders, parts, strict=True))
        draws[:, :, place] = full_from_connected(kernel, connected, order)
    return draws
