"""Laws of a weight besides the normal one, for the layers whose fan-in grows.

A law has variance 1 where it has one, and is then multiplied by σ_W/√fan-in, so that by
the central limit theorem the kernel does not depend on it. The input layer stays normal
in the plugins that use these: its fan-in does not grow, so that another law there would
make other preactivations and another kernel.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpyro.distributions as dist

import nnft_ppl as nnft


@dataclass(frozen=True)
class WeightLaw:
    """The law of one weight, symmetric about 0.

    Args:
        distribution: Of variance 1, or, where `unlimited` says there is none, as it is.
        moment: Even k -> E[w^k]/E[w²]^{k/2}, infinite where there is none; `None` for
            the normal law.
        unlimited: Why sums of such weights do not become Gaussian, or `None`.
    """

    distribution: dist.Distribution
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
            help="ν > 0 of the student-t law: moments of order ≥ ν are infinite",
            minimum=0.0,
            maximum=1e6,
        ),
    }
)


def check(hp: nnft.Hyperparameters) -> None:
    """Refuse degrees of freedom that are no law's.

    Raises:
        SpecError: They are 0.
    """
    if hp.options["degrees_of_freedom"] == 0:
        raise nnft.SpecError(
            "option `degrees_of_freedom` is 0; expected a number > 0, and > 2 for a "
            "Gaussian limit"
        )


def weight_law(hp: nnft.Hyperparameters) -> WeightLaw:
    """The law that the options ask for."""
    match hp.options["weight_law"]:
        case "uniform":
            side = math.sqrt(3)
            return WeightLaw(
                dist.Uniform(-side, side), lambda k: 3 ** (k / 2) / (k + 1)
            )
        case "laplace":
            return WeightLaw(
                dist.Laplace(0.0, math.sqrt(0.5)),
                lambda k: math.factorial(k) / 2 ** (k / 2),
            )
        case "student-t":
            return _student_t(hp.option("degrees_of_freedom", float))
        case _:
            return WeightLaw(dist.Normal(0.0, 1.0))


def _student_t(freedom: float) -> WeightLaw:
    """Student's t with ν degrees of freedom, of variance 1 where ν > 2."""
    if freedom <= 2:
        return WeightLaw(
            dist.StudentT(freedom, 0.0, 1.0),
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
    return WeightLaw(dist.StudentT(freedom, 0.0, scale), moment)
