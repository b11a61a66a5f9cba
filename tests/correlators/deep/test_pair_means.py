import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import single_neuron as oracle

from nnft_ppl import Activation
from nnft_ppl.correlators.deep.pair_means import pair_means

ERF = Activation(name="erf", function=jax.scipy.special.erf)
RELU = Activation(name="relu", function=lambda z: jnp.maximum(z, 0.0), homogeneity=1)

# log σ_a, log σ_b, ρ
PLACES = np.array(
    [[0.1, -0.3, 0.4], [0.5, 0.2, -0.7], [0.0, 0.3, 0.99], [1.0, 1.0, -0.98]]
)


def erf_dual(t):
    a, b, c = jnp.exp(2 * t[0]), jnp.exp(2 * t[1]), t[2] * jnp.exp(t[0] + t[1])
    return 2 / jnp.pi * jnp.arcsin(2 * c / jnp.sqrt((1 + 2 * a) * (1 + 2 * b)))


def relu_dual(t):
    angle = jnp.arccos(t[2])
    shape = (jnp.sin(angle) + (jnp.pi - angle) * t[2]) / (2 * jnp.pi)
    return jnp.exp(t[0] + t[1]) * shape


def at(activation, places):
    return pair_means(
        activation, np.exp(places[:, 0]), np.exp(places[:, 1]), places[:, 2]
    )


@pytest.mark.slow_but("activation1-relu_dual")
@pytest.mark.parametrize(("activation", "dual"), [(ERF, erf_dual), (RELU, relu_dual)])
def test_derivatives_are_those_of_the_closed_form(activation, dual):
    means = at(activation, PLACES)
    with jax.enable_x64(True):
        value = jax.vmap(dual)(PLACES)
        slope = jax.vmap(jax.grad(dual))(PLACES)
        curvature = jax.vmap(jax.hessian(dual))(PLACES)
    assert means.value == pytest.approx(np.asarray(value), rel=1e-12)
    assert means.slope == pytest.approx(np.asarray(slope), rel=1e-11, abs=1e-12)
    assert means.curvature == pytest.approx(np.asarray(curvature), rel=1e-9, abs=1e-9)
    assert means.relative_error < 1e-12


def test_four_factors_of_a_kinked_activation_are_the_arc_cosine_kernel():
    means = at(RELU, PLACES)
    for row, (log_a, log_b, rho) in zip(means.fourth, PLACES, strict=True):
        a, b = np.exp(log_a), np.exp(log_b)
        covariance = np.array([[a * a, rho * a * b], [rho * a * b, b * b]])
        assert row[2] == pytest.approx(oracle.relu_two_inputs(covariance, 2), rel=1e-12)
        assert row[0] == pytest.approx(1.5 * a**4, rel=1e-12)
        assert row[4] == pytest.approx(1.5 * b**4, rel=1e-12)


def test_four_factors_of_a_smooth_activation_by_adaptive_quadrature():
    (place,) = PLACES[:1]
    a, b = np.exp(place[:2])
    covariance = np.array([[a * a, place[2] * a * b], [place[2] * a * b, b * b]])
    row = at(ERF, PLACES[:1]).fourth[0]
    for power in (1, 2):
        exact = oracle.erf_two_inputs(covariance, (4 - power, power))
        assert row[power] == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("rho", [1.0, -1.0])
def test_proportional_arguments_are_no_special_case(rho):
    # relu(σ_a z) relu(±σ_b z); the slopes are one-sided limits, and finite.
    means = at(RELU, np.array([[0.3, -0.2, rho]]))
    half = np.exp(0.1) * (0.5 if rho > 0 else 0.0)
    assert means.value[0] == pytest.approx(half, rel=1e-12, abs=1e-14)
    # ∂F/∂ρ = σ_a σ_b P(both active), ∂F/∂log σ = F
    assert means.slope[0] == pytest.approx([half] * 3, rel=1e-12, abs=1e-14)
    assert np.isfinite(means.curvature).all()
    near = at(RELU, np.array([[0.3, -0.2, rho * (1 - 1e-11)]]))
    assert near.slope == pytest.approx(means.slope, abs=1e-5)


def test_arguments_without_variance_and_equal_pairs():
    cosine = Activation(name="cos", function=jnp.cos)
    zero, one = np.zeros(3), np.ones(3)
    means = pair_means(cosine, zero, one, zero)
    assert means.value == pytest.approx(np.full(3, np.exp(-0.5)), rel=1e-12)
    assert means.slope == pytest.approx(
        np.tile([0.0, -np.exp(-0.5), 0.0], (3, 1)), abs=1e-12
    )
    assert not means.curvature[:, 0].any()


def test_steep_activations_are_resolved_or_said_not_to_be():
    # ⟨cos(σu) cos(σv)⟩ = ½ (e^{−σ²(1+ρ)} + e^{−σ²(1−ρ)})
    cosine = Activation(name="cos", function=jnp.cos)
    for std in (1.0, 6.0):
        means = pair_means(cosine, *(np.array([v]) for v in (std, std, 0.9)))
        exact = (np.exp(-1.9 * std**2) + np.exp(-0.1 * std**2)) / 2
        assert abs(means.value[0] - exact) <= 10 * means.relative_error
        assert means.relative_error < 1e-8
