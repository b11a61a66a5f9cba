"""Laws of a weight besides the normal one, for the layers whose fan-in grows.

A law has variance 1 where it has one, and is then multiplied by σ_W/√fan-in, so that by
the central limit theorem the kernel does not depend on it. The input layer stays normal
in the plugins that use these: its fan-in does not grow, so that another law there would
make other preactivations and another kernel.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import nnft_ppl as nnft


@dataclass(frozen=True)
class WeightLaw:
    """The law of one weight, symmetric about 0.

    Args:
        draw: Site name and shape -> independent weights of variance 1, or, where
            `unlimited` says there is none, of scale 1.
        moment: Even k -> E[w^k]/E[w²]^{k/2}, infinite where there is none; `None` for
            the normal law.
        unlimited: Why sums of such weights do not become Gaussian, or `None`.
    """

    draw: Callable[[str, tuple[int, ...]], jax.Array]
    moment: Callable[[int], float] | None = None
    unlimited: str | None = None


OPTIONS: Mapping[str, nnft.Option] = MappingProxyType(
    {
        "weight_law": nnft.Option(
            default="normal",
            help="law of the weights of every layer but the first, which stays normal",
            choices=("normal", "uniform", "laplace", "student-t"),
        ),
        "degrees_of_freedom": nnft.Option(
            default=5.0,
            help="ν of the student-t law: moments of order ≥ ν are infinite",
            minimum=0.25,  # below it float32 does not hold the weights
            maximum=1e6,
        ),
    }
)


def site(unit: dist.Distribution) -> Callable[[str, tuple[int, ...]], jax.Array]:
    """One NumPyro site of independent numbers, by name and shape."""

    def draw(name: str, shape: tuple[int, ...]) -> jax.Array:
        values: jax.Array = numpyro.sample(name, unit.expand(shape).to_event())
        return values

    return draw


def weight_law(hp: nnft.Hyperparameters) -> WeightLaw:
    """The law that the options ask for."""
    match hp.options["weight_law"]:
        case "uniform":
            side = math.sqrt(3)
            return WeightLaw(
                site(dist.Uniform(-side, side)), lambda k: 3 ** (k / 2) / (k + 1)
            )
        case "laplace":
            return WeightLaw(
                site(dist.Laplace(0.0, math.sqrt(0.5))),
                lambda k: math.factorial(k) / 2 ** (k / 2),
            )
        case "student-t":
            return _student_t(hp.option("degrees_of_freedom", float))
        case _:
            return WeightLaw(site(dist.Normal(0.0, 1.0)))


def _student_t(freedom: float) -> WeightLaw:
    """Student's t with ν degrees of freedom, of variance 1 where ν > 2."""
    if freedom <= 2:
        return WeightLaw(
            partial(_draw_student_t, freedom, 1.0),
            lambda k: math.inf,
            f"weights of the student-t law with degrees_of_freedom={freedom:g} ≤ 2 "
            "have infinite variance: sums of many approach an α-stable law, which has "
            "no covariance, instead of a Gaussian",
        )

    def moment(k: int) -> float:
        if k >= freedom:
            return math.inf
        gammas = math.lgamma((k + 1) / 2) + math.lgamma((freedom - k) / 2)
        gammas -= math.lgamma(0.5) + math.lgamma(freedom / 2)
        return math.exp(gammas + k / 2 * math.log(freedom - 2))

    scale = math.sqrt((freedom - 2) / freedom)
    return WeightLaw(partial(_draw_student_t, freedom, scale), moment)


def _draw_student_t(
    freedom: float, scale: float, name: str, shape: tuple[int, ...]
) -> jax.Array:
    """T = √(ν (U^{−2/ν} − 1)) cos 2πV, U and V uniform: exact, and nothing is rejected.

    The sites are E = −log U, exponential, and V. NumPyro's own law divides by a gamma
    number found by rejection, which takes a hundred times as long.

    Source: Bailey, Math. Comp. 62 (1994) 779, theorem 1.
    """
    radial = site(dist.Exponential(1.0))(f"{name}.radius", shape)
    turn = site(dist.Uniform(0.0, 1.0))(f"{name}.turn", shape)
    # √(e^{2E/ν} − 1), written so that float32 overflows as late as it can.
    size = jnp.exp(radial / freedom) * jnp.sqrt(-jnp.expm1(-2 * radial / freedom))
    values: jax.Array = scale * freedom**0.5 * size * jnp.cos(2 * jnp.pi * turn)
    return values
