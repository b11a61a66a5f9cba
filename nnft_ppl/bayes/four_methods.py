"""All methods on the same data: the public call, and one beside a posterior.

In: a network, data, new inputs; or a posterior. Out: `PosteriorComparison`.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._arguments import check_choice, check_kind, check_number
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.bayes.comparison import PosteriorComparison
from nnft_ppl.bayes.data import Data, checked_data, held_out_targets
from nnft_ppl.bayes.effective_theory import check_fit, expand_effective_theory
from nnft_ppl.bayes.features import check_gaussian_readout
from nnft_ppl.bayes.kernel_cumulants import expand
from nnft_ppl.bayes.posterior import METHODS, posterior
from nnft_ppl.bayes.result import Posterior
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import check_key, check_num_draws
from nnft_ppl.ensemble.progress import Monitor, watching
from nnft_ppl.inference.couplings.result import CouplingFit

_MOST_EXPANDED = 20_000
"""Networks along whose kernels derivatives are taken: each costs as some ten draws."""


def compare_posteriors(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    x_new: ArrayLike,
    *,
    noise_std: float,
    num_draws: int = 100_000,
    key: Key,
    fit: CouplingFit | None = None,
    y_new: ArrayLike | None = None,
    tolerance: float = 0.1,
    method: str = "auto",
    devices: Sequence[jax.Device] | int | None = None,
    progress: bool | Monitor = False,
) -> PosteriorComparison:
    """The Gaussian process, first order in 1/N, effective theory and exact posterior.

    Args:
        network: With a linear readout of normal weights and a kernel.
        x: Inputs (point, input_dim).
        y: Targets (point,), or (point, output).
        x_new: New inputs (new, input_dim).
        noise_std: σ of the targets, > 0.
        num_draws: Networks of the exact posterior; at most 20 000 of the same are used
            for the first order where the cumulants of the kernel are not known: for
            deep nets with a skip, say, or at more than 16 different inputs.
        key: A JAX random key.
        fit: Couplings of the same network, of operators with four fields, for the
            effective theory; its first cutoff is used.
        y_new: Targets at the new inputs, held out, in the shape of `y`.
        tolerance: Distance from the exact posterior, in standard deviations, that is
            close enough.
        method: How the exact posterior is found, as in `posterior`.
        devices: As in `posterior`.
        progress: Show a progress bar for the exact posterior, on a terminal or in a
            notebook, or a function that is told.

    Raises:
        SpecError: Data, a number or devices are unusable, or the fit is of another
            network.
        UnavailableError: The network has no Gaussian readout, or no kernel; or the fit
            holds an operator that has not four fields.

    Warns:
        PosteriorWarning: As `posterior`.

    Source: `bayes.first_order`, `bayes.effective_theory`.
    """
    check_kind("network", network, Network)
    check_gaussian_readout(network)
    data = checked_data(network, x, y, x_new)
    noise = check_number(
        "noise_std", noise_std, lambda s: 0 < s < float("inf"), "a finite number > 0"
    )
    tolerance = check_number("tolerance", tolerance, lambda t: t > 0, "a number > 0")
    num_draws, key = check_num_draws(num_draws, 100), check_key(key)
    check_choice("method", method, METHODS)
    used = choose_devices(devices)
    check_variance(network, data)
    held_out = None if y_new is None else held_out_targets(network, data, y_new)
    if fit is not None:
        check_kind("fit", fit, CouplingFit)
        check_fit(fit, network, data)
    with watching(progress, f"width {network.width}") as monitor:
        exact = posterior(
            network,
            x,
            y,
            x_new,
            noise_std=noise,
            num_draws=num_draws,
            key=key,
            method=method,
            devices=used,
            progress=monitor or False,
        )
    return compare_with(
        exact,
        noise_std=noise,
        num_draws=num_draws,
        key=key,
        fit=fit,
        y_new=held_out,
        tolerance=tolerance,
    )


def compare_with(
    exact: Posterior,
    *,
    noise_std: float,
    num_draws: int,
    key: Key,
    fit: CouplingFit | None,
    y_new: ArrayLike | None,
    tolerance: float,
) -> PosteriorComparison:
    """The other methods beside an exact posterior that is there.

    Args:
        exact: With the noise below.
        noise_std: σ of the targets, > 0.
        num_draws: As in `compare_posteriors`, and so the rest; what was given is taken
            to have been checked.
        key: That of the exact posterior.
        fit: Couplings, or `None`.
        y_new: Targets held out, or `None`.
        tolerance: In standard deviations.

    Raises:
        UnavailableError: There is no kernel.
    """
    network, data = exact.network, data_of(exact)
    return PosteriorComparison(
        exact,
        expand(network, data, noise_std, min(num_draws, _MOST_EXPANDED), key),
        None if fit is None else expand_effective_theory(fit, network, data, noise_std),
        noise_std,
        tolerance,
        None if y_new is None else np.asarray(y_new).reshape(len(data.x_new), -1),
    )


def data_of(exact: Posterior) -> Data:
    """What a posterior was given."""
    return checked_data(
        exact.network,
        exact.data["constant_data"]["x"].to_numpy(),
        exact.data["observed_data"]["y"].to_numpy(),
        exact.data["predictions_constant_data"]["x_new"].to_numpy(),
    )


def check_variance(network: Network, data: Data) -> None:
    """Refuse new inputs at which distances have no unit.

    Raises:
        SpecError: The field is 0 there, as without biases at the origin.
    """
    certain = np.flatnonzero(np.diagonal(network.kernel(data.x_new)) == 0)
    if len(certain):
        raise SpecError(
            f"the field of {network.name!r} is 0 at `x_new`[{certain[0]}] for every "
            "network: leave that input out, or give a `bias_std`"
        )
