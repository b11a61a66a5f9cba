"""Small work in double precision, beside an accelerator: on the host's processor.

Fits of a handful of couplings, quadratures and small tables are thousands of short
steps, each of which an accelerator would have to be told of, and many of these are slow
in double precision or have none.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def on_host() -> Iterator[None]:
    """Within, JAX works on the host's processor unless arrays are bound elsewhere.

    Where JAX_PLATFORMS leaves the processor out it works where it does otherwise.
    """
    host = _host()
    # To name the device that it is anyway would have JAX trace every program again.
    if host is None or host == default_device():
        yield
        return
    with jax.default_device(host):
        yield


def _host() -> jax.Device | None:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def default_device() -> jax.Device:
    """Where JAX makes arrays that are bound to no device."""
    chosen: jax.Device | str | None = jax.config.jax_default_device
    if isinstance(chosen, jax.Device):
        return chosen
    return jax.local_devices(backend=chosen)[0]
