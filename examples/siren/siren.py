"""A plugin whose kernel nobody knows: the sinusoidal network of arXiv:2006.09661.

    h_1 = sin(ω (W_1 x + b_1)),  h_2 = sin(ω (W_2 h_1 + b_2)),  f = a·h_2

with the paper's uniform weights: W_1 in ±1/d_in, W_2 in ±√(6/N)/ω, biases in ±1/√fan-in
of their layer. a is normal, as the readout of every other network here, and the biases
do not heed `bias_std`. The paper's ω is 30 on inputs between −1 and 1.

Study it: `pip install ./examples/siren`, then `nnft study examples/siren/siren.toml`.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import nnft_ppl as nnft

type Params = dict[str, jax.Array]


def _uniform(name: str, bound: float, *shape: int) -> jax.Array:
    return numpyro.sample(
        name, dist.Uniform(-bound, bound).expand(shape).to_event(len(shape))
    )


def prior(hp: nnft.Hyperparameters) -> Params:
    """All weights and biases, as the paper draws them."""
    n, dim, omega = hp.width, hp.input_dim, hp.option("omega", float)
    return {
        "W_1": _uniform("W_1", 1 / dim, dim, n),
        "b_1": _uniform("b_1", 1 / dim**0.5, n),
        "W_2": _uniform("W_2", (6 / n) ** 0.5 / omega, n, n),
        "b_2": _uniform("b_2", 1 / n**0.5, n),
        "a": numpyro.sample(
            "a",
            dist.Normal(0.0, hp.weight_std / n**0.5)
            .expand([n, hp.output_dim])
            .to_event(2),
        ),
    }


def features(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """The second hidden layer at one input, (width,)."""
    omega = hp.option("omega", float)
    first = jnp.sin(omega * (x @ params["W_1"] + params["b_1"]))
    return jnp.sin(omega * (first @ params["W_2"] + params["b_2"]))


def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """One draw of the network at one input, (output_dim,)."""
    return features(hp, params, x) @ params["a"]


def readout(hp: nnft.Hyperparameters) -> nnft.Readout:
    """The linear last layer: all that the toolkit is told beside the network itself."""
    return nnft.Readout(
        features=lambda params, x: features(hp, params, x),
        weight_std=hp.weight_std,
        bias_std=0.0,
    )


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """Two hidden layers of sines, without a kernel."""
    return nnft.Architecture(
        name="siren",
        description="two hidden layers of sines; arXiv:2006.09661",
        prior=prior,
        apply=apply,
        readout=readout,
        symmetries=frozenset({"sign"}),
        options={
            "omega": nnft.Option(default=30.0, help="frequency ω", minimum=0.1),
        },
    )
