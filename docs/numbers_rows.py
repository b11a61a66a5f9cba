"""The rows of docs/numbers.md, which make_numbers.py makes, and their set-up."""

from dataclasses import dataclass

SETUP = """\
import jax
import numpy as np
import nnft_ppl as nnft

key = jax.random.key(0)
x = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
wide = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
relu = nnft.network("relu-net", width=20, input_dim=1)
biased = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
erf = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
gauss = nnft.network("gauss-net", width=1000, input_dim=1, bias_std=1.0)
one = nnft.Action(["lambda_0"])
three = ["lambda_0", "lambda_2", "lambda_nl"]


def exact(net, x, order=4):  # the connected function, every entry
    return nnft.exact_correlators(net, x, (2, 4, 6)).connected(order)


def sampled(net, x, order=4, entry=0):  # the same from 20 000 networks
    corr = nnft.measure_correlators(net, x, (2, 4, 6), num_draws=20_000, key=key)
    return corr.connected(order)[entry], corr.connected_error(order)[entry]


def coupling(corr, cutoff):  # λ_0
    fit = nnft.fit_couplings(corr, one, [cutoff], key=key, sampler="conjugate")
    return fit.summary()["mean"][0], fit.summary()["sd"][0]


def draws(net, x):
    return nnft.measure_correlators(net, x, num_draws=20_000, key=key)


def slope(net, x, low, high):  # of log |λ_0| over log Λ, entry by entry, averaged
    size = nnft.first_order(nnft.operators()["lambda_0"], net, x, [low, high]).values
    return -np.mean(np.log(size[1] / size[0])) / np.log(high / low)


def misfit(net, x):  # relative rms of what three operators leave, Λ = 100
    corr, other = (nnft.exact_correlators(net, s * x) for s in (1.0, 0.7))
    found = nnft.search_actions(corr, other, [100.0], operators=three, target=0.01)
    return found.table["fitted_error"].iloc[-1]


def six(net, x):  # predicted over true 6-pt function at the first input six times
    corr = nnft.exact_correlators(net, x, (2, 4, 6))
    fit = nnft.fit_couplings(corr, one, [100.0], key=key, sampler="conjugate")
    return fit.predict(6).values[0, :, 0].mean(axis=0)[0] / corr.moment(6)[0]
"""


@dataclass(frozen=True)
class Row:
    """One number.

    Attributes:
        quantity: What it is.
        setting: Network, width, inputs, cutoff where not in the command.
        command: One line of Python after `SETUP`.
        exact: Expression of NumPy and the oracles; "" where there is none.
        coded: The same for what the paper's code computes; or words after "–".
        published: In words; "" where no number was found.
        tolerance: Relative, of a number without an error beside the exact one.
        is_slow: Whether it takes more than about a second.
    """

    quantity: str
    setting: str
    command: str
    exact: str = ""
    coded: str = ""
    published: str = ""
    tolerance: float = 1e-8
    is_slow: bool = False


def entries(name: str, x: str, width: int, bias: float) -> str:
    """Expression of the exact connected 4-pt function."""
    return f"code.four_point({name!r}, {x}, {width}, {bias})[0]"


def closest(name: str, x: str, width: int, cutoff: float) -> str:
    """Expression of λ_0 by unweighted least squares in natural units."""
    return f"code.natural_coupling({name!r}, {x}, {width}, {cutoff}, 1.0)"


SECTIONS: dict[str, tuple[Row, ...]] = {
    "Kernels": (
        Row(
            "K(0.2, 1.2)",
            "ReLU",
            "relu.kernel(x[:1], x[-1:])[0, 0]",
            "0.2 * 1.2 / 2",
            "kernels.relu_kernel([0.2], [1.2], 1.0, 1.0)",
            "formula, σ_b = 0",
        ),
        Row(
            "K(−1, 1)",
            "Erf",
            "erf.kernel(wide[:1], wide[-1:])[0, 0]",
            "kernels.erf_kernel([-1.0], [1.0], 1.0, 1.0)",
            "kernels.erf_kernel([-1.0], [1.0], 1.0, 1.0)",
            "formula",
        ),
        Row(
            "K(−0.01, 0.01)",
            "Gauss",
            "gauss.kernel(0.01 * wide[:1], 0.01 * wide[-1:])[0, 0]",
            "1 + np.exp(-(0.02**2) / 2)",
            "1 + np.exp(-(0.02**2) / 2)",
            "formula (2.24)",
        ),
        Row(
            "K(0, 0), d_in = 2",
            "Gauss",
            'nnft.network("gauss-net", width=9, input_dim=2, bias_std=1.0)'
            ".kernel(np.zeros((1, 2)))[0, 0]",
            "2.0",
            "1 + code.gauss_normalisation(2) ** 2",
            "formula (2.24)",
        ),
        Row(
            "G2(0.2, 0.2)",
            "ReLU, 20 000 networks",
            "sampled(relu, x, 2)",
            "0.02",
            published="equal to K at every N",
        ),
    ),
    "Connected functions": (
        Row(
            "N G4c / x₁x₂x₃x₄",
            "ReLU, any inputs > 0",
            "20 * exact(relu, x)[7] / (0.2**2 * 0.4 * 0.6)",
            "15 / 4",
            "– σ_b is 1, so no constant",
            "G4c ∝ 1/N",
        ),
        Row(
            "N² G6c / x₁…x₆",
            "ReLU, any inputs > 0",
            "20**2 * exact(relu, x, 6)[0] / 0.2**6",
            "82.5",
            "– σ_b is 1, so no constant",
            "G6c ∝ 1/N²",
        ),
        Row(
            "G4c, first entry",
            "ReLU, N = 20",
            "exact(relu, x)[0]",
            entries("relu", "x", 20, 0.0) + "[0]",
            entries("relu", "x", 20, 1.0) + "[0]",
        ),
        Row(
            "the same",
            "20 000 networks",
            "sampled(relu, x)",
            entries("relu", "x", 20, 0.0) + "[0]",
        ),
        Row(
            "G4c, first entry",
            "Erf, N = 5",
            "exact(erf, wide)[0]",
            entries("erf", "wide", 5, 1.0) + "[0]",
            entries("erf", "wide", 5, 1.0) + "[0]",
        ),
        Row(
            "the same",
            "20 000 networks",
            "sampled(erf, wide)",
            entries("erf", "wide", 5, 1.0) + "[0]",
        ),
        Row(
            "G4c, first entry",
            "Gauss, N = 1000",
            "exact(gauss, 0.01 * wide)[0]",
            entries("gauss", "0.01 * wide", 1000, 1.0) + "[0]",
            entries("gauss", "0.01 * wide", 1000, 1.0) + "[0]",
        ),
        Row(
            "N G4c at x = 0",
            "Erf",
            "5 * exact(erf, [0.0])[0]",
            "5 * " + entries("erf", "np.zeros(1)", 5, 1.0) + "[0]",
        ),
        Row(
            "N G4c at x = 0",
            "Gauss",
            "1000 * exact(gauss, [0.0])[0]",
            "3 * (np.exp(4) - 1)",
        ),
        Row(
            "m₄, mean of G4 over its Gaussian value less 1",
            "ReLU, N = 20",
            "nnft.mean_deviation(nnft.exact_correlators(relu, x), 4).value",
            "5 / 20",
            "np.mean(np.divide(*code.four_point('relu', x, 20, 1.0)))",
        ),
        Row(
            "G4c/3K² of two hidden layers",
            "mlp, ReLU, width 100 each; leading order",
            'nnft.recursion_correlators(nnft.network("mlp", width=100, input_dim=1, '
            'depth=2, activation="relu"), [1.0]).connected(4)[0] / (3 * 0.25**2)',
            "5 / 100 + 5 / 100",
            is_slow=True,
        ),
    ),
    "Couplings": (
        Row(
            "λ₀ N Λ⁵, Λ = 100",
            "ReLU, N = 20; exact data; as coded in lam_fit.py",
            "20 * 100**5 * coupling(nnft.exact_correlators(relu, x), 100.0)[0]",
            "-12.5",
            "20 * 100**5 * code.fitted_coupling('relu', 20, 100.0, 0.0, 1.0)",
            tolerance=1e-6,
            is_slow=True,
        ),
        Row(
            "the same",
            "as coded in rg.py, mean over entries",
            "20 * 100**5 * coupling(nnft.exact_correlators(relu, x), 100.0)[0]",
            "-12.5",
            "20 * 100**5 * code.rg_couplings([100.0]).mean()",
            tolerance=1e-6,
            is_slow=True,
        ),
        Row(
            "λ₀, Λ = 100",
            "ReLU, N = 20; 20 000 networks",
            "coupling(draws(relu, x), 100.0)",
            "-12.5 / (20 * 100**5)",
            is_slow=True,
        ),
        Row(
            "λ₀, Λ = 100",
            "Erf, N = 5, 0.01 x; exact data",
            "coupling(nnft.exact_correlators(erf, 0.01 * x), 100.0)",
            closest("erf", "0.01 * x", 5, 100.0),
            "code.fitted_coupling('erf', 5, 100.0, 1.0, 0.01)",
            is_slow=True,
        ),
        Row(
            "λ₀, Λ = 100",
            "Erf, N = 5, 0.01 x; 20 000 networks",
            "coupling(draws(erf, 0.01 * x), 100.0)",
            closest("erf", "0.01 * x", 5, 100.0),
            is_slow=True,
        ),
        Row(
            "λ₀, Λ = ∞",
            "Gauss, N = 1000, 0.01 x; exact data",
            "coupling(nnft.exact_correlators(gauss, 0.01 * x), np.inf)",
            closest("gauss", "0.01 * x", 1000, 50.0),
            "code.fitted_coupling('gauss', 1000, 50.0, 1.0, 0.01)",
            is_slow=True,
        ),
        Row(
            "N λ₀ at N = 5 over N λ₀ at N = 1000",
            "Erf, 0.01 x, Λ = 100",
            "exact(erf, 0.01 * x)[0] * 5 / (exact(erf.with_width(1000), 0.01 * x)[0]"
            " * 1000)",
            "1.0",
            published="λ ∝ 1/N",
        ),
    ),
    "Running": (
        Row(
            "d log λ₀/d log Λ, 7 to 10⁵",
            "ReLU, d_in = 1",
            "slope(relu, x, 7.0, 1e5)",
            "-5.0",
            "code.rg_slope()",
            "−(d_in + 4), asymptotically",
        ),
        Row(
            "the same",
            "ReLU, d_in = 2, inputs {0.5, 1}²",
            'slope(nnft.network("relu-net", width=20, input_dim=2), '
            "np.array([[0.5, 0.5], [0.5, 1], [1, 0.5], [1, 1]]), 7.0, 1e5)",
            "-6.0",
            published="−(d_in + 4), asymptotically",
            is_slow=True,
        ),
        Row(
            "the same of κ",
            "ReLU, d_in = 1",
            'nnft.relevance(nnft.Action(["lambda_0", "kappa"]), relu, x, [1e5])'
            '["exponent"][1]',
            "-7.0",
            published="−(d_in + 6), asymptotically",
        ),
        Row(
            "the same of λ₀, 10⁴ to 10⁵",
            "ReLU, σ_b = 1",
            "slope(biased, x, 1e4, 1e5)",
            "code.slope('relu', x, 1e4, 1e5, 1.0)",
            "code.slope('relu', x, 1e4, 1e5, 1.0)",
            "−(d_in + 4), asymptotically",
            is_slow=True,
        ),
        Row(
            "the same of λ₀, 10⁴ to 10⁵",
            "Erf, wide inputs",
            "slope(erf, wide, 1e4, 1e5)",
            "code.slope('erf', wide, 1e4, 1e5, 1.0)",
            published="−d_in, asymptotically",
            is_slow=True,
        ),
        Row(
            "the same of λ₀, 20 to 200",
            "Gauss",
            "slope(gauss, 0.01 * wide, 20.0, 200.0)",
            "0.0",
            published="none: the integral converges",
        ),
    ),
    "Predictions, and where they fail": (
        Row(
            "G6 of λ₀ over the true G6",
            "ReLU, N = 20",
            "six(relu, x)",
            "(15 / 8 + 15 * 3.75 / 20 / 2) / (15 / 8 + 15 * 3.75 / 40 + 82.5 / 400)",
            "code.six_point_prediction()",
            tolerance=1e-3,
            is_slow=True,
        ),
        Row(
            "G6 of the Gaussian process over the true G6",
            "ReLU, N = 20",
            "(lambda c: c.gaussian_moment(6)[0] / c.moment(6)[0])"
            "(nnft.exact_correlators(relu, x, (2, 4, 6)))",
            "(15 / 8) / (15 / 8 + 15 * 3.75 / 40 + 82.5 / 400)",
        ),
        Row(
            "misfit of λ₀, λ₂, λ_NL",
            "Erf, N = 5, wide inputs, Λ = 100",
            "misfit(erf, wide)",
            "code.misfit('erf', wide, 5, 100.0, 1.0)",
            tolerance=1e-4,
            is_slow=True,
        ),
        Row(
            "the same",
            "Gauss, N = 1000, inputs −1 … 1, Λ = 100",
            "misfit(gauss, wide)",
            "code.misfit('gauss', wide, 1000, 100.0, 1.0)",
            tolerance=1e-4,
            is_slow=True,
        ),
        Row(
            "the same",
            "ReLU, N = 20, σ_b = 1, inputs −1 … 1, Λ = 100",
            "misfit(biased, wide)",
            "code.misfit('relu', wide, 20, 100.0, 1.0)",
            tolerance=1e-4,
            is_slow=True,
        ),
    ),
}
