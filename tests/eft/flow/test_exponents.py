import math
from itertools import pairwise

import numpy as np
import pytest
from oracles import kernels
from scipy.integrate import quad

import nnft_ppl as nnft
from nnft_ppl import SpecError
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.flow.exponents import local_exponent, running_alone

INPUTS = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
ALL = Action(["lambda_0", "lambda_2", "lambda_nl", "kappa"])


def net(name, bias_std=1.0, **keywords):
    keywords = {"width": 20, "input_dim": 1, "weight_std": 1.0} | keywords
    return nnft.network(name, bias_std=bias_std, **keywords)


def test_homogeneous_kernels_give_exact_powers():
    """K_W ∝ |y|: −(1 + 4), −(1 + 2 + 4), −2(1 + 2) and −(1 + 6) in one dimension."""
    cutoffs = np.geomspace(7.0, 1e5, 21)
    exponents = local_exponent(ALL, net("relu-net", 0.0), INPUTS, cutoffs)
    np.testing.assert_allclose(exponents, [[-5.0, -7.0, -6.0, -7.0]] * 21, atol=1e-8)


@pytest.mark.parametrize("cutoff", [7.0, 1e5])
def test_one_input_agrees_with_the_ratio_of_integrand_and_integral(cutoff):
    x = 0.3

    def integrand(y):
        return (kernels.relu_kernel([x], [y], 1.0, 1.0) - 1) ** 4

    points = [-cutoff, -100.0, -1.0, 0.0, x, 1.0, 100.0, cutoff]
    points = sorted(p for p in points if abs(p) <= cutoff)
    integral = sum(
        quad(integrand, a, b, epsabs=0, epsrel=1e-10)[0] for a, b in pairwise(points)
    )
    exact = -cutoff * (integrand(cutoff) + integrand(-cutoff)) / integral
    got = local_exponent(Action(["lambda_0"]), net("relu-net"), [x], [cutoff])
    assert got[0, 0] == pytest.approx(exact, rel=1e-8)


def test_a_bias_bends_the_running_towards_its_asymptotic_power():
    cutoffs = np.geomspace(7.0, 1e5, 21)
    got = local_exponent(Action(["lambda_0"]), net("relu-net"), INPUTS, cutoffs)[:, 0]
    assert (np.diff(got) < 0).all()
    # The single entries at Λ = 7 run from −3.99 (0.2 four times) to −4.54 (1.2).
    assert got[0] == pytest.approx(-4.399, abs=1e-3)
    assert got[-1] == pytest.approx(-5.0, abs=1e-4)
    assert got[-1] > -5.0


def test_a_saturating_kernel_runs_with_the_volume_of_the_box():
    got = local_exponent(
        Action(["lambda_0", "lambda_nl"]), net("erf-net"), INPUTS, [1e6]
    )
    np.testing.assert_allclose(got, [[-1.0, -2.0]], atol=1e-4)


def test_a_convergent_integral_stops_the_running():
    got = local_exponent(ALL, net("gauss-net"), INPUTS, [math.inf, 1.0, 50.0])
    assert not got[0].any()
    assert (got[1] < -0.1).all()
    np.testing.assert_allclose(got[2], 0.0, atol=1e-12)


def test_a_divergent_integral_has_no_exponent_at_infinity():
    with pytest.raises(SpecError, match="'lambda_0' has no limit at cutoff inf"):
        local_exponent(Action(["lambda_0"]), net("relu-net"), INPUTS, [math.inf])


def test_an_operator_without_effect_is_refused():
    with pytest.raises(SpecError, match="'lambda_0' has no effect at these inputs"):
        local_exponent(Action(["lambda_0"]), net("relu-net", 0.0), [0.0], [10.0])


def test_large_integrals_do_not_overflow():
    got = local_exponent(Action(["kappa"]), net("relu-net"), INPUTS, [1e35])
    assert got[0, 0] == pytest.approx(-7.0, abs=1e-10)


def test_entries_count_in_their_natural_size():
    """Two inputs, weights 1/Π √K_W: −Σ w² I I'/Σ w² I² from integrals by quadrature."""
    x, cutoff = [0.2, 1.2], 7.0

    def integrand(legs, y):
        return np.prod([kernels.relu_kernel([p], [y], 1.0, 1.0) - 1 for p in legs])

    top = bottom = 0.0
    for count in range(5):
        legs = [x[0]] * (4 - count) + [x[1]] * count
        breaks = [-cutoff, -1.0, 0.0, 0.2, 1.2, cutoff]
        integral = sum(
            quad(lambda y, legs=legs: integrand(legs, y), a, b, epsrel=1e-10)[0]
            for a, b in pairwise(breaks)
        )
        slope = cutoff * (integrand(legs, cutoff) + integrand(legs, -cutoff))
        squared = np.prod([kernels.relu_kernel([p], [p], 1.0, 1.0) - 1 for p in legs])
        top, bottom = top + integral * slope / squared, bottom + integral**2 / squared
    got = local_exponent(Action(["lambda_0"]), net("relu-net"), x, [cutoff])
    assert got[0, 0] == pytest.approx(-top / bottom, rel=1e-8)


def test_differences_of_the_theorys_coupling_are_averages_of_local_exponents():
    """Simpson's rule over a narrow interval."""
    cutoffs = 7.0 * np.exp([0.0, 0.05, 0.1])
    local, log_coupling = running_alone(ALL, net("relu-net"), INPUTS, cutoffs)
    average = (local[0] + 4 * local[1] + local[2]) / 6
    secant = (log_coupling[2] - log_coupling[0]) / 0.1
    np.testing.assert_allclose(secant, average, rtol=1e-7)
