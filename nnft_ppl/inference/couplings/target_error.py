"""How well measured correlators determine couplings, while they are being measured."""

import math
from collections.abc import Callable

import numpy as np

from nnft_ppl._arguments import check_kind
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import Expansion, expand
from nnft_ppl.eft.integration.pair_sums import check_cutoffs
from nnft_ppl.inference.couplings.conjugate import solve
from nnft_ppl.inference.identifiability import check_identifiable
from nnft_ppl.inference.likelihood import build_likelihood
from nnft_ppl.inference.priors import Prior


def coupling_error(
    action: Action, cutoff: float
) -> Callable[[Correlators], float | None]:
    """The relative error of couplings, for `measure_correlators(error_of=...)`.

    It is what more networks can improve: posterior standard deviation over mean, the
    largest of the action's couplings, with the default prior and the action taken to be
    exact. A fit adds the model discrepancy, which does not fall with their number.

    Args:
        action: The operators.
        cutoff: Λ > 0 of the measure, or `math.inf`.

    Returns:
        A function of measured correlators of one network at one set of inputs. It
        raises what `fit_couplings` raises, which a measurement to a target error does
        at its trial, before the long work.

    Raises:
        SpecError: `action` is no `Action`, or the cutoff is out of range.

    Source: theory.md §6, the linear-Gaussian posterior.
    """
    check_kind("action", action, Action)
    value = float(check_cutoffs([cutoff])[0])
    prior, known = Prior(), list[Expansion]()

    def error(correlators: Correlators) -> float | None:
        network = correlators.network
        if not known:  # the integrals do not depend on the sample
            cutoffs = np.array([value])
            known.append(expand(action, network, correlators.x, cutoffs, action.orders))
        likelihood = build_likelihood(correlators, action, (value,), known[0])
        check_identifiable(likelihood.design, action.names, (value,))
        mean, sd = solve(
            likelihood,
            0,
            prior.scales_at(prior.natural_size, network.width, action),
            None,
            prior.size_prior(action),
        ).moments()
        relative = np.divide(
            sd, np.abs(mean), out=np.full_like(sd, np.inf), where=mean != 0
        )
        largest = float(relative.max())
        return largest if math.isfinite(largest) else None

    return error
