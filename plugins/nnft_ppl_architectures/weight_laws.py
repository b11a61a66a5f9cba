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
from nnft_ppl_architectures.layers import normal

type Draw = Callable[[str, float, tuple[int, ...]], jax.Array]


@dataclass(frozen=True)
class WeightLaw:
    """The law of one weight, symmetric about 0.

    Args:
        draw: Site name, standard deviation and shape -> independent weights; where
            `unlimited` says that there is no variance, their scale in place of it.
        moment: Even k -> E[w^k]/E[w²]^{k/2}, infinite where there is none; `None` for
            the normal law.
        unlimited: Why sums of such weights do not become Gaussian, or `None`.
    """

    draw: Draw
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


def times(unit: dist.Distribution) -> Draw:
    """A site of independent numbers, a standard deviation times those of a unit law."""

    def draw(name: str, std: float, shape: tuple[int, ...]) -> jax.Array:
        return sample(name, scaled(unit, std), shape)

    return draw


def scaled(unit: dist.Distribution, std: float) -> dist.Distribution:
    """The law of std times a number of the law `unit`."""
    by = dist.transforms.AffineTransform(0.0, std, domain=unit.support)
    return dist.TransformedDistribution(unit, by)


def sample(name: str, law: dist.Distribution, shape: tuple[int, ...]) -> jax.Array:
    """One NumPyro site of independent numbers."""
    values: jax.Array = numpyro.sample(name, law.expand(shape).to_event())
    return values


def weight_law(hp: nnft.Hyperparameters) -> WeightLaw:
    """The law that the options ask for."""
    match hp.options["weight_law"]:
        case "uniform":
            side = math.sqrt(3)
            return WeightLaw(
                times(dist.Uniform(-side, side)), lambda k: 3 ** (k / 2) / (k + 1)
            )
        case "laplace":
            return WeightLaw(
                times(dist.Laplace(0.0, math.sqrt(0.5))),
                lambda k: math.factorial(k) / 2 ** (k / 2),
            )
        case "student-t":
            return _student_t(hp.option("degrees_of_freedom", float))
        case _:
            return WeightLaw(lambda name, std, shape: normal(name, std, *shape))


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
    freedom: float, scale: float, name: str, std: float, shape: tuple[int, ...]
) -> jax.Array:
    """The radius has a key of its own, taken where a site of its own would take it."""
    unit = _StudentT(freedom, scale, numpyro.prng_key())
    return sample(name, scaled(unit, std), shape)


class _StudentT(dist.StudentT):  # type: ignore[misc]
    """T = √(ν (U^{−2/ν} − 1)) cos 2πV, U and V uniform: exact, and nothing is rejected.

    NumPyro divides by a gamma number found by rejection, which takes a hundred times
    as long.

    Source: Bailey, Math. Comp. 62 (1994) 779, theorem 1.
    """

    pytree_data_fields = ("radius_key",)

    def __init__(
        self, freedom: float, scale: float, radius_key: jax.Array | None
    ) -> None:
        """`radius_key` may be `None` where nothing is sampled."""
        self.radius_key = radius_key
        super().__init__(freedom, 0.0, scale)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Of the shape asked for, from E = −log U, exponential, and V."""
        radial = dist.Exponential(1.0).sample(self.radius_key, sample_shape)
        turn = dist.Uniform(0.0, 1.0).sample(key, sample_shape)
        # √(e^{2E/ν} − 1), written so that float32 overflows as late as it can.
        grown = jnp.exp(radial / self.df) * jnp.sqrt(-jnp.expm1(-2 * radial / self.df))
        values: jax.Array = self.scale * self.df**0.5 * grown
        return values * jnp.cos(2 * jnp.pi * turn)
