"""Beta functions: against JAX's derivative, finite differences and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nnft_ppl as nnft
from nnft_ppl import SpecError
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.flow.beta import beta_functions
from nnft_ppl.eft.flow.exponents import local_exponent
from nnft_ppl.eft.integrals import Integrals

BOTH_SIGNS = np.array([-1.0, -0.6, 0.2, 1.0])
POSITIVE = np.array([0.2, 0.6, 1.0])


def net(name, bias_std=1.0):
    return nnft.network(name, width=20, input_dim=1, bias_std=bias_std)


def natural_design(network, x, operators, cutoffs):
    """A(Λ), (cutoff, entry, operator), entries over Π √K_W(x, x)."""
    integrals = Integrals(network, x, cutoffs)
    action = Action(operators)
    root = np.sqrt(np.diag(network.propagator(x)))
    table = np.array(entries(len(x), 4))
    size = np.prod(root[table], axis=1)
    columns = [integrals.first_order(o).values / size for o in action.operators]
    return np.stack(columns, axis=-1)


def test_boundary_derivative_is_what_automatic_differentiation_gives():
    """∫_{−Λ}^{Λ} K⁴ dy = ∫_{−1}^{1} Λ K(x, Λu)⁴ du with fixed nodes, jvp in log Λ."""
    network = net("erf-net")
    kernel, hp = network.architecture.kernel, network.hyperparameters
    nodes, weights = np.polynomial.legendre.leggauss(200)
    table = np.array(entries(len(BOTH_SIGNS), 4))

    def response(log_cutoff):
        cutoff = jnp.exp(log_cutoff)

        def propagator(a, u):
            return kernel(hp, a[None], cutoff * u[None]) - hp.bias_std**2

        values = jax.vmap(lambda a: jax.vmap(lambda u: propagator(a, u))(nodes))(
            jnp.asarray(BOTH_SIGNS)
        )
        return -24 * cutoff * jnp.prod(values[table], axis=1) @ weights

    (operator,) = Action(["lambda_0"]).operators
    cutoffs = np.array([2.0, 7.0])
    integrals = Integrals(network, BOTH_SIGNS, cutoffs)
    values = integrals.first_order(operator).values
    slopes = integrals.log_cutoff_derivative(operator)
    with jax.enable_x64(True):
        for cutoff, value, slope in zip(cutoffs, values, slopes, strict=True):
            primal, tangent = jax.jvp(response, (jnp.log(cutoff),), (jnp.ones(()),))
            np.testing.assert_allclose(value, primal, rtol=1e-8)
            np.testing.assert_allclose(slope, tangent, rtol=1e-8)


def test_one_operator_runs_with_its_local_exponent():
    network, cutoffs = net("relu-net"), [7.0, 100.0]
    couplings = np.array([[-2.0], [-3e-6]])
    got = beta_functions(Action(["lambda_0"]), network, POSITIVE, cutoffs, couplings)
    expected = local_exponent(Action(["lambda_0"]), network, POSITIVE, cutoffs)
    np.testing.assert_allclose(got["beta"], expected * couplings, rtol=1e-12)
    np.testing.assert_allclose(got["mixing"][..., 0], expected, rtol=1e-12)
    np.testing.assert_allclose(got["eigenvalue"], expected, rtol=1e-12)


def test_mixing_is_the_derivative_of_the_least_squares_couplings():
    """g(Λ') = A(Λ')⁺ A(Λ) g moves away from Λ with M g; Richardson's difference."""
    network, names, step = net("erf-net"), ["lambda_0", "lambda_nl", "lambda_2"], 1e-3
    cutoffs = 10.0 * np.exp(step * np.array([-1.0, -0.5, 0.0, 0.5, 1.0]))
    design = natural_design(network, BOTH_SIGNS, names, cutoffs)
    moved = [np.linalg.pinv(design[i]) @ design[2] for i in range(5)]
    wide, narrow = (moved[4] - moved[0]) / (2 * step), (moved[3] - moved[1]) / step
    expected = (4 * narrow - wide) / 3
    assert np.abs(narrow - expected).max() < 1e-3
    coupling = np.array([1.0, 2.0, -0.1])
    got = beta_functions(Action(names), network, BOTH_SIGNS, [10.0], coupling[None])
    mixing = got["mixing"].values[0]
    # Integrals good to 10⁻¹⁰, over the step, times the condition of the design (152).
    np.testing.assert_allclose(mixing, expected, rtol=0, atol=2e-5)
    np.testing.assert_allclose(got["beta"][0], mixing @ coupling, rtol=1e-12)


def test_residual_is_what_the_action_cannot_follow():
    network, names = net("erf-net"), ["lambda_0", "lambda_2"]
    step, coupling = 1e-4, np.array([1.0, 0.02])
    cutoffs = 10.0 * np.exp([-step, 0.0, step])
    design = natural_design(network, BOTH_SIGNS, names, cutoffs)
    moved = (design[2] - design[0]) @ coupling / (2 * step)
    moved -= design[1] @ (np.linalg.pinv(design[1]) @ moved)
    expected = np.linalg.norm(moved) / np.linalg.norm(design[1] @ coupling)
    got = beta_functions(Action(names), network, BOTH_SIGNS, [10.0], coupling[None])
    assert got["residual"].item() == pytest.approx(expected, rel=1e-5)
    assert got["residual"].item() > 1e-3


@pytest.mark.parametrize("name", ["relu-net", "erf-net"])
def test_a_weight_that_vanishes_at_the_boundary_does_not_run(name):
    """∫ (1 − y²/Λ²) f⁴ has no boundary term: M (1, −Λ⁻²) = 0, an exact eigenvalue 0."""
    cutoffs = np.array([5.0, 50.0])
    flat = np.stack([np.ones(2), -(cutoffs**-2.0)], axis=1)
    got = beta_functions(
        Action(["lambda_0", "lambda_2"]), net(name), BOTH_SIGNS, cutoffs, flat
    )
    np.testing.assert_allclose(got["beta"] / flat, 0.0, atol=1e-9)
    np.testing.assert_allclose(got["residual"], 0.0, atol=1e-9)
    np.testing.assert_allclose(got["eigenvalue"][:, 0], 0.0, atol=1e-9)
    assert (got["eigenvalue"][:, 1].real < -1).all()


def test_operators_with_other_numbers_of_fields_do_not_mix():
    got = beta_functions(
        Action(["lambda_0", "kappa"]),
        net("relu-net", 0.0),
        POSITIVE,
        [7.0, 1e4],
        np.array([[1.0, 1.0], [1e-15, 1e-22]]),
    )
    np.testing.assert_allclose(got["mixing"], [np.diag([-5.0, -7.0])] * 2, atol=1e-8)
    np.testing.assert_allclose(got["residual"], 0.0, atol=1e-8)


@pytest.mark.slow
def test_the_flow_leads_from_the_couplings_of_one_cutoff_to_those_of_another():
    """Where the action follows exactly, dg/d log Λ = M g integrates to the fit."""
    network, action = net("relu-net", 0.0), Action(["lambda_0"])

    def flow(t, g):
        got = beta_functions(action, network, POSITIVE, [np.exp(t)], g[None])
        return got["beta"].values[0]

    path = solve_ivp(flow, np.log([7.0, 14.0]), [-12.5 / 20 / 7**5], rtol=1e-9, atol=0)
    assert path.y[0, -1] == pytest.approx(-12.5 / 20 / 14**5, rel=1e-6)


def test_draws_of_couplings_give_draws_of_beta():
    draws = np.random.default_rng(0).normal(size=(2, 3, 2, 1))
    got = beta_functions(
        Action(["lambda_0"]), net("erf-net"), POSITIVE, [5.0], draws[:, :, :1]
    )
    assert got["beta"].dims == ("chain", "draw", "cutoff", "operator")
    assert got["residual"].dims == ("chain", "draw", "cutoff")
    factor = got["mixing"].item()
    np.testing.assert_allclose(got["beta"], factor * draws[:, :, :1])


def test_nothing_runs_at_infinity():
    got = beta_functions(
        Action(["lambda_0", "kappa"]), net("gauss-net"), POSITIVE, [np.inf], [[1.0, 1]]
    )
    assert not got["beta"].values.any()
    assert not got["residual"].values.any()


def test_proportional_operators_are_refused():
    with pytest.raises(SpecError, match="predict proportional correlators"):
        beta_functions(
            Action(["lambda_0", "lambda_2"]),
            net("relu-net", 0.0),
            POSITIVE,
            [7.0],
            [[1.0, 1.0]],
        )


def test_a_cutoff_at_which_operators_are_proportional_is_nan():
    """On both signs with a bias they differ by about 1/Λ: not at 10¹³."""
    got = beta_functions(
        Action(["lambda_0", "lambda_2"]),
        net("relu-net"),
        BOTH_SIGNS,
        [7.0, 1e13],
        np.ones((2, 2)),
    )
    assert np.isfinite(got["mixing"][0]).all()
    assert np.isnan(got["mixing"][1]).all()
    assert np.isnan(got["beta"][1]).all()
    assert np.isnan(got["residual"][1])


def test_couplings_of_the_wrong_shape_are_refused():
    action = Action(["lambda_0"])
    with pytest.raises(SpecError, match=r"shape \(2,\); expected \(cutoff, operator\)"):
        beta_functions(action, net("erf-net"), POSITIVE, [1.0, 2.0], [1.0, 2.0])
    with pytest.raises(SpecError, match="not finite"):
        beta_functions(action, net("erf-net"), POSITIVE, [1.0], [[np.nan]])
