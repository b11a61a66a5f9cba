"""Do predictive intervals with a truncation error hold what they promise?

Part 1 chooses the prior of the coefficients: c_2 and c_3 of 21 activations at one
input, from moments of one neuron by plain quadrature. The three activations of part 2
take no part in the choice.

Part 2 predicts the 6- and 8-pt functions of the three nets of arXiv:2008.08601 at first
order from their exact 4-pt function, over inputs and widths: the truncation alone.

Part 3 predicts them from a fit of λ_0 in one dimension, as a user would: the truncation
and the misfit of the action together.

A case is one net at one width and one set of inputs; it counts by the fraction of its
entries that lie inside the band, because its entries are nearly one number.

    python benchmarks/truncation_coverage.py [--widths 5 20 100 1000]
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import jax
import numpy as np
from scipy import stats
from scipy.special import erf, expit

import nnft_ppl as nnft
from nnft_ppl.correlators.wick import pack_kernel
from nnft_ppl.eft.full_functions import full_from_connected
from nnft_ppl.inference.couplings.omitted_orders import (
    TruncationPrior,
    coefficient_correlation,
    effective_number,
    known_coefficients,
    truncation_draws,
)

LEVELS = (0.5, 0.8, 0.95)
PRIORS = {
    f"linear network, ν={freedom:g} τ={scale:g}": TruncationPrior(freedom, scale)
    for freedom, scale in ((1.0, 1.0), (2.0, 1.0), (5.0, 1.0), (2.0, 0.5))
}
DEFAULT = "linear network, ν=2 τ=1"
GEOMETRIC = "geometric, Q from the 4-pt"
OWN = "geometric, Q from G^(k) itself"
NONE = "no truncation error"

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "linear": lambda z: z,
    "|z|": np.abs,
    "step": lambda z: np.heaviside(z, 0.5),
    "gelu": lambda z: z * (1 + erf(z / math.sqrt(2))) / 2,
    "softplus": lambda z: np.logaddexp(0, z),
    "z²": np.square,
    "z³": lambda z: z**3,
    "exp(−z²/2)": lambda z: np.exp(-(z**2) / 2),
    "leaky relu": lambda z: np.where(z > 0, z, 0.1 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "sigmoid": expit,
    "softsign": lambda z: z / (1 + np.abs(z)),
    "relu²": lambda z: np.maximum(z, 0) ** 2,
    "swish": lambda z: z * expit(z),
    "relu(z−1)": lambda z: np.maximum(z - 1, 0),
}
HELD_OUT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "erf": erf,
    "relu": lambda z: np.maximum(z, 0),
    "gauss (e^z)": np.exp,
}
STDS = (0.5, 1.0, 2.0)
"""Standard deviations of the preactivation."""

LINE = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])[:, None]
WIDE = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])[:, None]
SQUARE = np.array(list(product((-1.0, 1.0), repeat=2)))
CORNERS = np.array([(-1, -1, -1), (1, 1, -1), (-1, 1, 1), (1, -1, 1)], dtype=float)


class Setting(NamedTuple):
    """A net and where it is taken.

    Args:
        net: Architecture.
        label: Of the inputs.
        x: Inputs.
        weight_std: σ_W.
        bias_std: σ_b.
    """

    net: str
    label: str
    x: np.ndarray
    weight_std: float
    bias_std: float


SETTINGS = (
    Setting("relu-net", "0.2 … 1.2", LINE, 1.0, 0.0),
    Setting("relu-net", "−1 … 1", WIDE, 1.0, 1.0),
    Setting("relu-net", "2-d", SQUARE / 4 + 0.75, 1.0, 0.0),
    Setting("relu-net", "3-d", np.where(CORNERS < 0, 0.2, 1.0), 1.0, 0.0),
    Setting("erf-net", "near 0", LINE / 100, 1.0, 1.0),
    Setting("erf-net", "−1 … 1", WIDE, 1.0, 1.0),
    Setting("erf-net", "−1 … 1", WIDE, 2.0, 1.0),
    Setting("erf-net", "2-d", SQUARE, 1.0, 1.0),
    Setting("erf-net", "3-d", CORNERS, 1.0, 1.0),
    Setting("gauss-net", "near 0", LINE / 100, 1.0, 1.0),
    Setting("gauss-net", "near 0", LINE / 100, 0.5, 0.5),
    Setting("gauss-net", "−1 … 1", WIDE, 0.5, 0.5),
    Setting("gauss-net", "2-d", SQUARE / 100, 1.0, 1.0),
    Setting("gauss-net", "3-d", CORNERS / 100, 1.0, 1.0),
)
"""Those of the paper, and variations that move c_2."""
CUTOFF = {"relu-net": 100.0, "erf-net": 100.0, "gauss-net": math.inf}


def natural_coefficients(
    activation: Callable[[np.ndarray], np.ndarray], std: float
) -> tuple[float, float]:
    """c_2 of the 6-pt and c_3 of the 8-pt function at one input.

    φ² has the cumulants κ_n; in units of κ_1, Q = κ_2 and c_n = κ_{n+1}/(n! Q^n).
    """
    along = np.linspace(-16, 16, 400_001)
    weight = np.exp(-(along**2) / 2)
    weight /= weight.sum()
    square = activation(std * along) ** 2
    square /= weight @ square
    second, third, fourth = (weight @ (square - 1) ** n for n in (2, 3, 4))
    return third / (2 * second**2), (fourth - 3 * second**2) / (6 * second**3)


def print_coefficients() -> None:
    """Part 1: the table, and how the candidates for the prior fare on it."""
    print("part 1: coefficients relative to the linear network, one input")
    print("activation      " + "".join(f"c2 (std {std})  " for std in STDS) + "c3 (1)")
    values = {}
    for name, activation in {**ACTIVATIONS, **HELD_OUT}.items():
        pairs = [natural_coefficients(activation, std) for std in STDS]
        values[name] = np.array([pair[0] for pair in pairs])
        row = "".join(f"{value:12.4g}  " for value in values[name])
        print(f"{name:14s}{row}{pairs[1][1]:10.4g}")
    seen = np.abs(np.concatenate([values[name] for name in ACTIVATIONS]))
    print(f"\n{'c2 of the 18, 3 stds each':34s} 50 %  80 %  95 %   mean log density")
    for label, prior in PRIORS.items():
        law = stats.t(prior.degrees_of_freedom, 0, prior.scale)
        inside = [np.mean(seen < law.ppf(0.5 + level / 2)) for level in LEVELS]
        row = "  ".join(f"{value:4.2f}" for value in inside)
        print(f"{label:34s} {row}   {np.mean(law.logpdf(seen)):8.3f}")


class Case(NamedTuple):
    """One prediction and its truth.

    Args:
        setting: Net and inputs.
        width: N.
        order: k.
        parameter: Median of Q.
        effective: Number of independent coefficients among the entries.
        error: Mean relative error of the first order.
        gaussian_error: The same of the Gaussian process alone.
        coverage: Model -> fraction of entries inside the bands, one per level; NaN
            where the model gives none.
        half_width: Model -> mean half width of the 95 % band over the truth.
    """

    setting: Setting
    width: int
    order: int
    parameter: float
    effective: float
    error: float
    gaussian_error: float
    coverage: dict[str, np.ndarray]
    half_width: dict[str, float]


def cases(widths: Sequence[int], num_draws: int, *, fitted: bool) -> Iterator[Case]:
    """Every setting, width and order."""
    for setting, width in product(SETTINGS, widths):
        if fitted and setting.x.shape[1] > 1:
            continue
        net = nnft.network(
            setting.net,
            width=width,
            input_dim=setting.x.shape[1],
            weight_std=setting.weight_std,
            bias_std=setting.bias_std,
        )
        exact = nnft.exact_correlators(net, setting.x, (2, 4, 6, 8))
        predict = from_fit if fitted else from_exact
        for order, (plain, four) in predict(exact, num_draws).items():
            yield one_case(setting, exact, order, plain, four)


type Predictions = dict[int, tuple[np.ndarray, np.ndarray]]
"""By order, draws (draw, entry) of the prediction and of the G4c behind it."""


def from_exact(exact: nnft.Correlators, num_draws: int) -> Predictions:
    """First order with the exact G4c."""
    four = np.tile(exact.connected(4), (num_draws, 1))
    kernel = pack_kernel(exact.network.kernel(exact.x))
    return {k: (full_from_connected(kernel, {4: four}, k, 1), four) for k in (6, 8)}


def from_fit(exact: nnft.Correlators, num_draws: int) -> Predictions:
    """First order with λ_0 fitted to the exact G4c."""
    fit = nnft.fit_couplings(
        exact,
        nnft.Action(["lambda_0"]),
        [CUTOFF[exact.network.name]],
        key=jax.random.key(0),
        sampler="conjugate",
        num_chains=1,
        num_samples=num_draws,
    )
    modes = fit.likelihood.expected(0, fit.dimensionless[0, :, 0])
    four = fit.likelihood.to_entries(modes)
    return {k: (fit.predict(k).values[0, :, 0], four) for k in (6, 8)}


def one_case(
    setting: Setting,
    exact: nnft.Correlators,
    order: int,
    plain: np.ndarray,
    four: np.ndarray,
) -> Case:
    """Coverage of one prediction under every model of the truncation error."""
    net, x = exact.network, exact.x
    kernel, propagator = net.kernel(x), net.propagator(x)
    truth, gaussian = exact.moment(order), exact.gaussian_moment(order)
    correlation = coefficient_correlation(propagator, order)
    bands = {NONE: plain}
    for model, prior in PRIORS.items():
        known = known_coefficients({4: four[:, None]}, propagator, prior)
        rng = np.random.default_rng(order)
        error = truncation_draws(known, kernel, propagator, order, 1, rng)
        bands[model] = plain + error[:, 0]
    q = known.parameter[:, 0]
    first = np.sqrt(np.mean((plain.mean(axis=0) / gaussian - 1) ** 2))
    bands[GEOMETRIC] = plain + geometric(gaussian, correlation, q, first)
    bands[OWN] = plain + geometric(gaussian, correlation, np.full_like(q, first), first)
    coverage, half_width = {}, {}
    for model, draws in bands.items():
        coverage[model] = np.array(
            [
                np.mean((low <= truth) & (truth <= high))
                if np.isfinite(draws).all()
                else np.nan
                for low, high in (
                    np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0)
                    for level in LEVELS
                )
            ]
        )
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        half_width[model] = float(np.mean((high - low) / (2 * np.abs(truth))))
    return Case(
        setting=setting,
        width=net.width,
        order=order,
        parameter=float(np.median(q)),
        effective=effective_number(correlation),
        error=float(np.mean(np.abs(plain.mean(axis=0) / truth - 1))),
        gaussian_error=float(np.mean(np.abs(gaussian / truth - 1))),
        coverage=coverage,
        half_width=half_width,
    )


def geometric(
    gaussian: np.ndarray, correlation: np.ndarray, q: np.ndarray, first: float
) -> np.ndarray:
    """The textbook: G_GP Σ_{n>1} c_n Q^n, with c_0 = 1 and c_1 known, all alike.

    c̄² has the prior ν_0 = 2, τ_0 = 1 and c_1 as datum (c_0 sets the scale). The sum of
    independent terms has the variance c̄² Q⁴/(1 − Q²): there is none at Q ≥ 1.
    """
    rng = np.random.default_rng(0)
    coefficient = first / q
    scale = np.sqrt((2 + coefficient**2) / 3 * 3 / rng.chisquare(3, len(q)))
    size = scale * q**2 / np.sqrt(np.where(q < 1, 1 - q**2, np.nan))
    normals = rng.multivariate_normal(
        np.zeros(len(gaussian)), correlation, len(q), method="eigh"
    )
    return size[:, None] * normals * gaussian


def print_cases(found: list[Case]) -> None:
    """One line per case."""
    print(
        "net        σ_W  inputs     width  k       Q  GP alone  1st order  "
        "half width  inside 50 80 95"
    )
    for case in found:
        inside = " ".join(f"{value:4.2f}" for value in case.coverage[DEFAULT])
        print(
            f"{case.setting.net:10s} {case.setting.weight_std:3.1f}  "
            f"{case.setting.label:10s} {case.width:5d}  {case.order}"
            f"{case.parameter:9.4f} {case.gaussian_error:9.2e} {case.error:9.2e}  "
            f"{case.half_width[DEFAULT]:9.2e}   {inside}"
        )


def print_coverage(found: list[Case], models: Sequence[str]) -> None:
    """Coverage by model, order and net, and how many independent numbers it is of."""
    groups: dict[tuple[int, str], list[Case]] = defaultdict(list)
    for case in found:
        groups[case.order, "all"].append(case)
        groups[case.order, case.setting.net].append(case)
    print(f"\n{'coverage, mean over cases':48s}  50 % 80 % 95 %   with a band")
    for model in models:
        for (order, net), members in sorted(groups.items()):
            rows = np.array([case.coverage[model] for case in members])
            usable = np.isfinite(rows).all(axis=1)
            mean = rows[usable].mean(axis=0) if usable.any() else np.full(3, np.nan)
            row = " ".join(f"{value:4.2f}" for value in mean)
            print(
                f"{model:32s} k={order} {net:10s} {row}   "
                f"{usable.sum():3d} of {len(members)}"
            )
    print("\nindependent coefficients among the entries of a case, at every width:")
    for order in (6, 8):
        numbers = {
            (case.setting.net, case.setting.label): case.effective
            for case in found
            if case.order == order
        }
        row = ", ".join(f"{n} {i} {v:.2f}" for (n, i), v in numbers.items())
        print(f"k={order}: {row}")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the three parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[5, 20, 100, 1000])
    parser.add_argument("--num-draws", type=int, default=1000)
    options = parser.parse_args(argv)
    print_coefficients()
    print("\npart 2: truncation alone; the bands are those of the default")
    exact = list(cases(options.widths, options.num_draws, fitted=False))
    print_cases(exact)
    print_coverage(exact, (*PRIORS, GEOMETRIC, OWN))
    print("\npart 3: truncation and misfit of λ_0; the bands are those of the default")
    fitted = list(cases(options.widths, options.num_draws, fitted=True))
    print_cases(fitted)
    print_coverage(fitted, (NONE, DEFAULT))


if __name__ == "__main__":
    main()
