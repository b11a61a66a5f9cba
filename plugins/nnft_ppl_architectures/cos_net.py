"""`cos-net`: one hidden layer of random waves, A(w) cos(w·x + phase).

f(x) = b + Σ_j a_j A(w_j) cos(w_j·x + phase_j), a ~ N(0, σ_W²/N), b ~ N(0, σ_b²), the
phases uniform. Its law is unchanged by translations at every width, not its kernel
alone: a translation moves the phases, and uniform phases do not notice
(Halverson, Maiti, Stoner, arXiv:2106.00694).

The spectrum S of the kernel, normal of variance σ_W²/d_in, can be put into the density
p of the momenta w or into the amplitudes A: only p A² = S enters the kernel. The option
`amplitude_exponent` α divides it as p ∝ S^(1+α), A² ∝ S^(−α) (Z. Zhang,
arXiv:2604.27050): the same theory at infinite width, another one at finite width.
"""

import math
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

import nnft_ppl as nnft
from nnft_ppl_architectures.layers import AROUND_ZERO, Params, linear_readout, normal


def prior(hp: nnft.Hyperparameters) -> Params:
    """Momenta from p, normal of variance σ_W²/(d_in (1+α)); phases; output layer."""
    momentum_std = hp.weight_std / (hp.input_dim * (1 + exponent(hp))) ** 0.5
    return {
        "w": normal("w", momentum_std, hp.input_dim, hp.width),
        "phase": numpyro.sample(
            "phase", dist.Uniform(-jnp.pi, jnp.pi).expand((hp.width,)).to_event()
        ),
        "a": normal("a", hp.weight_std / hp.width**0.5, hp.width, hp.output_dim),
        "b": normal("b", hp.bias_std, hp.output_dim),
    }


def exponent(hp: nnft.Hyperparameters) -> float:
    """The option α as a number."""
    return hp.option("amplitude_exponent", float)


def features(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """A(w_j) cos(w_j·x + phase_j), (width,), with A² = S/p so that E A² = 1."""
    alpha, w = exponent(hp), params["w"]
    phase = jnp.matmul(x, w, precision="highest") + params["phase"]
    square = jnp.sum(w**2, axis=0) * hp.input_dim / hp.weight_std**2  # in units of S
    amplitude = jnp.exp(alpha * square / 4 - hp.input_dim * math.log1p(alpha) / 4)
    return amplitude * jnp.cos(phase)


def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """One draw of the network at one input, (output_dim,)."""
    hidden = features(hp, params, x)
    return jnp.matmul(hidden, params["a"], precision="highest") + params["b"]


def kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """K = σ_b² + (σ_W²/2) exp(−σ_W² |x − y|²/(2 d_in)), at every width and α."""
    distance = hp.weight_std**2 * jnp.sum((x - y) ** 2) / (2 * hp.input_dim)
    return hp.bias_std**2 + hp.weight_std**2 * jnp.exp(-distance) / 2


def displacement(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """The log of the kernel without its scale, s = −σ_W² |x − y|²/(2 d_in).

    In sums weighted by numbers that sum to 0 it is as good as the σ_W² x·y/d_in of w·x,
    and it does not grow under a translation.
    """
    return -(hp.weight_std**2) * jnp.sum((x - y) ** 2) / (2 * hp.input_dim)


def product_mean(hp: nnft.Hyperparameters, s: jax.Array) -> jax.Array:
    r"""E Π A cos(w·x_i + phase) over k inputs, k even, from their s(x_i, x_j).

    .. math:: \frac{1}{2^k} \left(\frac{(1+α)^{1-k/2}}{π_k}\right)^{d/2}
        \sum_{ε_i = ±1, \sum ε_i = 0} e^{-ε^T s ε / (2 π_k)},
        \quad π_k = 1 - (k/2 - 1) α

    The mean over the phase leaves the waves cos(w·Σ ε_i x_i) of which the signs sum to
    0; that over w is the integral of S^{k/2} p^{1−k/2}, normal of precision π_k in
    units of S. It diverges where π_k ≤ 0.
    """
    alpha, order = exponent(hp), len(s)
    precision = 1 - (order / 2 - 1) * alpha
    if precision <= 0:
        return jnp.full((), jnp.inf, s.dtype)
    norm: float = ((1 + alpha) ** (1 - order / 2) / precision) ** (hp.input_dim / 2)
    signs = np.full((math.comb(order, order // 2), order), -1.0)
    for row, plus in zip(signs, combinations(range(order), order // 2), strict=True):
        row[list(plus)] = 1.0
    exponents = jnp.einsum("wi,ij,wj->w", signs, s, signs, precision="highest")
    waves = jnp.exp(-exponents / (2 * precision))
    return jnp.sum(waves) * (norm / 2.0**order)


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """Random Fourier features with the momenta and amplitudes of arXiv:2604.27050."""
    return nnft.Architecture(
        name="cos-net",
        description="one hidden layer, A(w) cos(w·x + phase); arXiv:2106.00694",
        prior=prior,
        apply=apply,
        kernel=kernel,
        readout=linear_readout(features),
        neuron=lambda hp: nnft.Neuron(  # no function of w·x alone, so no activation
            covariance=lambda x, y: displacement(hp, x, y),
            product_mean=lambda s: product_mean(hp, s),
        ),
        symmetries=frozenset({"translation", "rotation", "sign"}),
        options={
            "amplitude_exponent": nnft.Option(
                default=0.0,
                help="α: momenta of density S^(1+α), a law for α > −1 alone, and "
                "amplitudes² S^(−α). E A⁴ = (1 − α²)^(−d_in/2), least at 0 and finite "
                "for α < 1 (else there is no connected 4-pt function); E A⁶ is finite "
                "for α < 1/2, E A⁸, hence the error of a measured 4-pt function, for "
                "α < 1/3",
                minimum=-0.9,
                maximum=0.9,
            )
        },
        suggested_inputs=AROUND_ZERO,
    )
