"""How good measured correlators are, by the number that a target error is about."""

from nnft_ppl.correlators._measurement import Measurement, known_kernel
from nnft_ppl.correlators.correlators import Correlators


def relative_error(correlators: Correlators) -> float | None:
    """Relative error of G4c, as `measure_correlators(target_error=...)` takes it.

    Root mean square over entries of the standard error over that of the value, each in
    units of the standard deviations of the field at its legs.

    Args:
        correlators: Measured, with order 4, of a network that has a kernel.

    Returns:
        The error, or `None` where G4c vanishes.

    Raises:
        SpecError: There is no order 4.
    """
    kernel = known_kernel(correlators.network, correlators.x, correlators.estimator)
    return Measurement(
        correlators.network,
        correlators.x,
        correlators.orders,
        correlators.estimator,
        kernel,
    ).relative_error_of(correlators)
