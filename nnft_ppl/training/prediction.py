r"""What training does at infinite width: mean and covariance of a Gaussian process.

In: K and Θ over data and new inputs. Out: the law of f after training linearised
networks from the prior,

.. math:: E f(x) = A y, \quad \mathrm{Cov} = K(x, x') + A K(X, X) A^T - A K(X, x') -
    K(x, X) A^T, \quad A = Θ(x, X) g(Θ(X, X), t)

with g as in `linear`. Float64.

Source: Lee et al., arXiv:1902.06720 equations 14 to 16.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import UnavailableError
from nnft_ppl._host import on_host
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.bayes.first_order import gaussian_process
from nnft_ppl.training.linear import learned
from nnft_ppl.training.plan import Plan


@dataclass(frozen=True, eq=False)
class Prediction:
    """The Gaussian process at every time; outputs are alike and independent.

    Attributes:
        mean: (time, new, output).
        covariance: (time, new, new) of one output.
    """

    mean: Float[np.ndarray, "time new output"]
    covariance: Float[np.ndarray, "time new new"]


def predict(
    network: Network,
    x: Points,
    y: Float[np.ndarray, "point output"],
    x_new: Points,
    plan: Plan,
) -> Prediction | None:
    """The limit of infinite width; `None` where its kernels are not known.

    For Langevin dynamics of all parameters it is the Gaussian process given the data,
    with noise of variance T: what comes after a long time.
    """
    rows, new_rows = np.arange(len(x)), np.arange(len(x), len(x) + len(x_new))
    try:
        kernel = network.kernel(np.concatenate([x, x_new]))
        if plan.method == "langevin":
            if plan.train == "readout":
                return _relaxed(kernel, rows, new_rows, y, plan)
            return _stationary(kernel, rows, new_rows, y, plan)
        tangents = _tangent_kernels(network, x, x_new, plan)
    except UnavailableError:
        return None
    pairs = ((rows, rows), (new_rows, rows), (new_rows, new_rows))
    return _trained([kernel[np.ix_(*pair)] for pair in pairs], tangents, y, plan)


def _tangent_kernels(
    network: Network, x: Points, x_new: Points, plan: Plan
) -> tuple[Matrix, Matrix]:
    """Θ of the trained parameters: of data with data, and of new inputs with data."""
    if plan.train == "readout":
        if plan.parametrization == "standard":
            raise UnavailableError("shares of sites are not told apart here")
        return network.kernel(x), network.kernel(x_new, x)
    kind = plan.parametrization
    return (
        network.tangent_kernel(x, parametrization=kind),
        network.tangent_kernel(x_new, x, parametrization=kind),
    )


def _trained(
    kernels: list[Matrix], tangents: tuple[Matrix, Matrix], y: np.ndarray, plan: Plan
) -> Prediction:
    """The equations above."""
    among, across, new = kernels
    eigenvalues, vectors = np.linalg.eigh((tangents[0] + tangents[0].T) / 2)
    floor = 1e-14 * eigenvalues[-1]
    eigenvalues = np.where(eigenvalues > floor, eigenvalues, 0.0)
    rate = plan.learning_rate if plan.method == "gradient_descent" else None
    means, covariances = [], []
    for time in plan.times:
        with on_host(), jax.enable_x64(True):
            factors = np.asarray(learned(jnp.asarray(eigenvalues), time, rate))
        pull = tangents[1] @ (vectors * factors) @ vectors.T
        half = pull @ across.T
        means.append(pull @ y)
        covariances.append(new + pull @ among @ pull.T - half - half.T)
    return Prediction(np.stack(means), np.stack(covariances))


def _relaxed(
    kernel: Matrix, rows: np.ndarray, new_rows: np.ndarray, y: np.ndarray, plan: Plan
) -> Prediction:
    """Of the readout alone: (K + T)⁻¹ (1 − e^{−(K + T)t}), twice t for the covariance.

    The prior of ω, from which it begins, is what forgetting and noise keep.
    """
    eigenvalues, vectors = np.linalg.eigh(kernel[np.ix_(rows, rows)])
    rates = np.maximum(eigenvalues, 0.0) + plan.temperature
    across, new = kernel[np.ix_(new_rows, rows)], kernel[np.ix_(new_rows, new_rows)]
    turned = across @ vectors
    means, covariances = [], []
    for time in plan.times:
        means.append(turned @ (-np.expm1(-rates * time) / rates * (vectors.T @ y).T).T)
        factors = -np.expm1(-2 * rates * time) / rates
        covariances.append(new - (turned * factors) @ turned.T)
    return Prediction(np.stack(means), np.stack(covariances))


def _stationary(
    kernel: Matrix, rows: np.ndarray, new_rows: np.ndarray, y: np.ndarray, plan: Plan
) -> Prediction:
    """The same for every time."""
    noise_std = plan.temperature**0.5
    with on_host(), jax.enable_x64(True):
        found = gaussian_process(
            jnp.asarray(kernel), rows, new_rows, jnp.asarray(y), noise_std
        )
        mean, covariance = np.asarray(found.mean), np.asarray(found.covariance[0])
    number = len(plan.times)
    return Prediction(np.stack([mean] * number), np.stack([covariance] * number))
