r"""Regression with the effective theory: a non-Gaussian process, at first order.

The prior P ∝ exp(−S_GP − Σ g_i O_i) with fields of one operator not contracted with one
another has, at first order in g, the 2-pt function of the Gaussian process and
G4c = Σ_i g_i ∂G4c/∂g_i (theory.md §4). Of a prior with these,

.. math:: p(f) = N(f; 0, K) \Big(1 + \tfrac{1}{24} \sum G^{(4)}_c H_4(f)\Big),

all that first order says of a posterior follows from G4c alone. It is that of a random
kernel with the covariance C_(ab)(cd) = G4c_abcd / 3, which need not be positive.

For O = ∫ w f⁴ it is, with μ, c the mean and covariance of the Gaussian process given
the data, and r what the data take from its variance,

.. math:: E f(x) = \mu(x) - 4 g \int w(y)\, c(x, y) (\mu^3 - 3 r \mu)(y).
"""

import numpy as np

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl.bayes.data import Data
from nnft_ppl.bayes.first_order import Expansion, Moments, expand_known, total
from nnft_ppl.correlators.symmetric import entries, num_entries, positions
from nnft_ppl.eft.integrals import Integrals
from nnft_ppl.inference.couplings.result import CouplingFit

_MOST_ENTRIES = 4000
"""Of the 4-pt function: 16 different inputs. More take long to integrate."""


def check_fit(fit: CouplingFit, network: Network, data: Data) -> None:
    """Refuse a fit that no regression here can be made with.

    Raises:
        SpecError: It is of another network, or has several outputs.
        UnavailableError: An operator has not four fields, the scheme is bare, or there
            are too many inputs.
    """
    of_fit = fit.correlators.network
    if of_fit != network:
        raise SpecError(
            f"`fit` is of {of_fit!r}; expected one of {network!r}: couplings depend on "
            "the width"
        )
    if data.num_outputs != 1:
        raise SpecError(
            f"`y` has {data.num_outputs} outputs; the effective theory here is of one"
        )
    wrong = [o.name for o in fit.action.operators if o.num_fields != 4]
    if wrong:
        raise UnavailableError(
            f"operators {wrong} have not four fields; regression with the effective "
            "theory is of first order in 1/N, where quartic operators count alone: fit "
            "an action without them"
        )
    if fit.action.is_bare:
        raise UnavailableError(
            "the fit is in the bare scheme, in which operators shift the 2-pt function "
            "too; fit the action in the renormalised scheme"
        )
    number = len(data.points)
    if num_entries(number, 4) > _MOST_ENTRIES:
        raise UnavailableError(
            f"there are {number} different inputs among the data and the new ones, and "
            f"{num_entries(number, 4):,} entries of the 4-pt function to integrate; "
            f"at most {_MOST_ENTRIES:,} are taken, 16 inputs: leave `fit` out"
        )


def expand_effective_theory(
    fit: CouplingFit, network: Network, data: Data, noise: float
) -> Expansion:
    """The posterior with the couplings of a fit, at the first of its cutoffs.

    Args:
        fit: That `check_fit` has seen.
        network: Its propagator is used.
        data: Targets and inputs.
        noise: σ > 0.

    Returns:
        `Expansion`; its error is that of the couplings.
    """
    points = data.points.astype(np.float64)
    integrals = Integrals(
        network, points, np.array(fit.cutoffs[:1]), fit.action.measure
    )
    pairs = entries(len(points), 2)
    legs = np.concatenate(np.broadcast_arrays(pairs[:, None], pairs[None]), axis=-1)
    quads = positions(len(points), legs)
    scales = fit.likelihood.scale[0]
    # Per unit of the dimensionless coupling, which is of order one over the width.
    parts = [
        integrals.first_order(operator).values[0][quads] / (3 * scale)
        for operator, scale in zip(fit.action.operators, scales, strict=True)
    ]
    kernel = network.kernel(points)
    draws = fit.dimensionless[:, :, 0].reshape(-1, len(parts))
    coupling = draws.mean(axis=0)
    covariance = np.atleast_2d(np.cov(draws.T))
    gaussian, (_, *added), _ = expand_known(
        kernel, np.zeros_like(kernel), parts, data, noise
    )
    scaled = [
        Moments(*(c * part for part in one))
        for c, one in zip(coupling, added, strict=True)
    ]
    variance = [np.stack(each, axis=-1) for each in zip(*added, strict=True)]
    error = Moments(
        *(np.sqrt(np.einsum("...i,ij,...j", v, covariance, v)) for v in variance)
    )
    # Of C as symmetrised this is no variance, so that it tells nothing of its own.
    return Expansion("fit", gaussian, total(scaled), error, 0.0)
