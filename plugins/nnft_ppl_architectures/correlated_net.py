"""`correlated-net`: one hidden layer of erf(z) whose output weights share one scale.

f(x) = b + τ Σ_j g_j φ(z_j(x)): the layers of `erf-net`, but with output weights
a_j = τ g_j that are uncorrelated without being independent. Each network draws one τ²
from the gamma distribution of mean 1 and variance c, the option `correlation`. No
central limit theorem averages a number that all neurons share, so that the field is not
Gaussian at any width, infinity included (Demirtas, Halverson, Maiti, Schwartz, Stoner,
arXiv:2307.03223, on the breaking of statistical independence). With K_W the kernel
without bias and C/N the covariances of the random kernel of `erf-net`:

    G2 = σ_b² + K_W,   G4c(1234) = Σ_3 [c K_W(12) K_W(34) + (1 + c) C(12, 34)/N].
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import nnft_ppl as nnft
from nnft_ppl_architectures import erf_net, single_hidden_layer
from nnft_ppl_architectures.layers import (
    AROUND_ZERO,
    Params,
    affine,
    input_covariance,
    linear_readout,
)


def prior(hp: nnft.Hyperparameters) -> Params:
    """The layers of `erf-net`, and the squared scale that all output weights share."""
    params = single_hidden_layer.prior(hp)
    variance = correlation(hp)
    if variance == 0:
        return params
    square = numpyro.sample("square", dist.Gamma(1 / variance, 1 / variance))
    return params | {"square": square}


def correlation(hp: nnft.Hyperparameters) -> float:
    """The option c as a number."""
    return hp.option("correlation", float)


def features(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """τ φ_j(x), (width,): given these the output is Gaussian, as the contract asks."""
    hidden = jax.scipy.special.erf(affine(params, 0, x))
    return jnp.sqrt(params["square"]) * hidden if "square" in params else hidden


def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """One draw of the network at one input, (output_dim,)."""
    return affine(params, 1, features(hp, params, x))


def no_gp_limit(hp: nnft.Hyperparameters) -> str | None:
    """What stays of the connected 4-pt function at infinite width."""
    variance = correlation(hp)
    if variance == 0:
        return None
    return (
        "the output weights share one random scale: as the width grows the connected "
        f"4-pt function tends to {variance:g} times the sum of K_W K_W over the three "
        "pairings, not to 0 (option `correlation`; 0 gives the Gaussian limit)"
    )


def neuron(hp: nnft.Hyperparameters) -> nnft.Neuron | None:
    """The neuron of `erf-net` where the weights are independent, else none."""
    if correlation(hp) > 0:
        return None
    return nnft.Neuron(
        covariance=lambda x, y: input_covariance(hp, x, y),
        activation=lambda z, variance: jax.scipy.special.erf(z),
    )


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """An interacting theory at infinite width."""
    return nnft.Architecture(
        name="correlated-net",
        description="erf-net whose output weights share a random scale; "
        "arXiv:2307.03223",
        prior=prior,
        apply=apply,
        kernel=lambda hp, x, y: hp.bias_std**2 + erf_net.weight_kernel(hp, x, y),
        tangent_kernel=single_hidden_layer.tangent_shares(
            erf_net.weight_kernel, erf_net.slope_kernel
        ),
        no_gp_limit=no_gp_limit,
        readout=linear_readout(features),
        neuron=neuron,
        symmetries=frozenset({"rotation", "sign"}),
        options={
            "correlation": nnft.Option(
                default=0.1,
                help="c, the variance of the squared scale, of mean 1, that the output "
                "weights of one network share; 0 for independent weights",
                minimum=0.0,
                maximum=10.0,
            )
        },
        suggested_inputs=AROUND_ZERO,
    )
