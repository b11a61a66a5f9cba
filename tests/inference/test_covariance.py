"""The noise model against simulated networks whose correlators are known exactly."""

from itertools import combinations_with_replacement, permutations

import numpy as np
import pytest

from nnft_ppl.inference.covariance import (
    gaussian_covariance,
    gaussian_models,
    no_noise,
    noise_modes,
)

POINTS = np.linspace(-1, 1, 6)
QUADRUPLES = np.array(list(combinations_with_replacement(range(6), 4)))
REPLICAS, DRAWS = 300, 1500


def kernel(length):
    return np.exp(-0.5 * (POINTS[:, None] - POINTS) ** 2 / length**2) + 0.3


def pairings(matrix):
    """Σ_3 of products of two entries, packed."""
    a, b, c, d = QUADRUPLES.T
    return (
        matrix[..., a, b] * matrix[..., c, d]
        + matrix[..., a, c] * matrix[..., b, d]
        + matrix[..., a, d] * matrix[..., b, c]
    )


def brute_force(matrix, order):
    table = list(combinations_with_replacement(range(len(matrix)), order))
    return np.array(
        [
            [
                sum(
                    np.prod([matrix[i, j] for i, j in zip(left, p, strict=True)])
                    for p in permutations(right)
                )
                for right in table
            ]
            for left in table
        ]
    )


@pytest.mark.parametrize("order", [2, 4])
def test_gaussian_covariance_is_the_sum_over_permutations(order):
    matrix = np.array([[1.0, 0.3, -0.2], [0.3, 2.0, 0.1], [-0.2, 0.1, 0.7]])
    np.testing.assert_allclose(
        gaussian_covariance(matrix, order), brute_force(matrix, order), rtol=1e-12
    )


def test_gaussian_covariance_is_that_of_wick_products():
    """Var(:f⁴:) = 4! K⁴ and Cov(:f1²:, :f2²:) = 2 K12², by simulation."""
    matrix = np.array([[1.0, 0.6], [0.6, 1.5]])
    f = np.random.default_rng(0).multivariate_normal(np.zeros(2), matrix, 400_000).T
    square = f**2 - np.diag(matrix)[:, None]
    quartic = f[0] ** 4 - 6 * f[0] ** 2 + 3
    product = square[0] * square[1]
    error = product.std() / np.sqrt(len(product))
    assert abs(product.mean() - gaussian_covariance(matrix, 2)[0, 2]) < 4 * error
    error = (quartic**2).std() / np.sqrt(len(quartic))
    assert abs(np.mean(quartic**2) - gaussian_covariance(matrix, 4)[0, 0]) < 4 * error


def test_entries_where_the_field_vanishes_have_no_model():
    matrix = np.diag([0.0, 1.0, 4.0])
    size = np.array([0, 0, 0, 1, 2, 4.0])
    (model,) = gaussian_models(matrix, {2: size})
    np.testing.assert_allclose(model, np.diag([2, 1, 2]), atol=1e-12)


class Simulation:
    """Random kernels of units whose features are Gaussian with a random amplitude.

    A network's kernel is K̂ = (1/N) Σ_j g_j² φ_j φ_jᵀ with φ ~ N(0, K) and g log-normal,
    E g² = 1. Then E φφφφ = E g⁴ Σ_3 KK, hence exactly

        G4c = Σ_3 Cov(K̂, K̂) = (3 E g⁴ − 1)/N Σ_3 KK,

    the mean of Σ_3 (K̂ − K)(K̂ − K) over networks: 126 heavy-tailed entries.
    """

    units, log_width = 10, 0.2

    def __init__(self):
        self.kernel = kernel(0.8)
        self.lower = np.linalg.cholesky(self.kernel)
        fourth = np.exp(4 * self.log_width**2)
        exact = (3 * fourth - 1) / self.units * pairings(self.kernel)
        size = np.sqrt(np.prod(np.diag(self.kernel)[QUADRUPLES], axis=1))
        self.size = size * np.sqrt(np.mean(exact**2) / np.mean(size**2))
        self.response = exact / self.size
        self.model = gaussian_covariance(self.kernel, 4)
        self.model /= np.outer(self.size, self.size)

    def draws(self, number, rng):
        """What each network contributes, natural units (draw, entry)."""
        normal = rng.standard_normal((number, self.units, 1))
        amplitude = np.exp(self.log_width * normal - self.log_width**2)
        features = rng.standard_normal((number, self.units, 6)) @ self.lower.T
        features *= amplitude
        random_kernel = np.swapaxes(features, 1, 2) @ features / self.units
        return pairings(random_kernel - self.kernel) / self.size

    def replica(self, number):
        """Mean and sample covariance of the mean; the coupling is 1."""
        draws = self.draws(DRAWS, np.random.default_rng((7, number)))
        return draws.mean(axis=0), np.cov(draws.T) / DRAWS

    def covariance(self):
        """Of the mean over `DRAWS` networks, from 100 times as many."""
        rng = np.random.default_rng(8)
        parts = [np.cov(self.draws(20_000, rng).T) for _ in range(8)]
        return np.mean(parts, axis=0) / DRAWS


def treated(simulation, data, covariance):
    """Equal weights, and their error from the modes."""
    response = simulation.response
    modes = noise_modes(covariance, DRAWS, [simulation.model], response[:, None])
    weights = response / (response @ response)
    return weights @ data, np.sqrt((modes.rotation.T @ weights) ** 2 @ modes.variance)


def naive(simulation, data, covariance):
    """Every eigenmode of the sample covariance, widened after Hartlap."""
    variance, rotation = np.linalg.eigh(covariance)
    number = len(variance)
    variance = np.maximum(variance, 0) * (DRAWS - 1) / (DRAWS - number - 2)
    variance += 1e-7 * variance[-1]
    design = rotation.T @ simulation.response
    information = np.sum(design**2 / variance)
    estimate = np.sum(design * (rotation.T @ data) / variance) / information
    return estimate, information**-0.5


@pytest.fixture(scope="module")
def simulation():
    return Simulation()


@pytest.fixture(scope="module")
def fits(simulation):
    """Estimates and errors over replicas, by the treatment and by the naive way."""
    found = {"treated": [], "naive": []}
    for number in range(REPLICAS):
        data, covariance = simulation.replica(number)
        found["treated"].append(treated(simulation, data, covariance))
        found["naive"].append(naive(simulation, data, covariance))
    return {name: np.array(values).T for name, values in found.items()}


def covered(fit, level):
    estimate, error = fit
    half_width = {0.5: 0.6745, 0.8: 1.2816, 0.95: 1.9600}[level]
    return np.mean(np.abs(estimate - 1) < half_width * error)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_intervals_cover_with_heavy_tails(fits, level):
    error = np.sqrt(level * (1 - level) / REPLICAS)
    assert abs(covered(fits["treated"], level) - level) < 3 * error


@pytest.mark.slow
def test_intervals_are_as_wide_as_the_scatter(fits):
    estimate, error = fits["treated"]
    scatter = estimate.std(ddof=1)
    assert abs(estimate.mean() - 1) < 3.5 * scatter / np.sqrt(REPLICAS)
    # The scatter of 300 values is good to 4 %.
    assert error.mean() / scatter == pytest.approx(1, abs=0.12)


def test_equal_weights_cost_a_factor_of_two_where_the_action_is_exact(simulation, fits):
    """The best weights need the true covariance, of condition 10⁹ and more."""
    covariance = simulation.covariance()
    values = np.linalg.eigvalsh(covariance)
    assert values[-1] > 1e9 * values[0]
    precise = np.linalg.solve(
        covariance + 1e-10 * values[-1] * np.eye(126), simulation.response
    )
    best = (simulation.response @ precise) ** -0.5
    plain = simulation.response / np.sum(simulation.response**2)
    equal = np.sqrt(plain @ covariance @ plain)
    assert 2.0 < equal / best < 2.4
    # Of 300 values, with tails: good to 5 %.
    assert fits["treated"][0].std(ddof=1) == pytest.approx(equal, rel=0.15)


def test_naive_weights_do_not_cover(fits):
    """What the treatment is for: the same data, weights from their own covariance."""
    estimate, _ = fits["naive"]
    bias = (estimate.mean() - 1) / estimate.std(ddof=1)
    assert bias < -1
    assert covered(fits["naive"], 0.8) < 0.4


def test_errors_of_equal_weights_are_those_of_the_data(simulation):
    """H V Hᵀ in the modes is H Σ̂ Hᵀ in the entries, H = (DᵀD)⁻¹Dᵀ without the model."""
    _, covariance = simulation.replica(0)
    response = np.stack([simulation.response, POINTS[0] + 0 * simulation.response], 1)
    modes = noise_modes(covariance, 10**6, [simulation.model], response)
    weights = np.linalg.solve(response.T @ response, response.T)
    within = weights @ modes.rotation
    found = (within * modes.variance) @ within.T
    expected = weights @ covariance @ weights.T
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_no_coupling_explains_has_the_power_that_the_data_give_it(simulation):
    """Across the responses V and Σ̂ have one trace, and V is diagonal in the model's."""
    _, covariance = simulation.replica(0)
    response = simulation.response[:, None]
    modes = noise_modes(covariance, 10**6, [simulation.model], response)
    noise = (modes.rotation * modes.variance) @ modes.rotation.T
    unit = response / np.linalg.norm(response)
    across = np.eye(126) - unit @ unit.T
    assert np.trace(across @ noise) == pytest.approx(np.trace(across @ covariance))
    # No noise is shared between what the responses span and the rest.
    np.testing.assert_allclose(across @ noise @ unit, 0, atol=1e-12)
    model = modes.rotation.T @ across @ simulation.model @ across @ modes.rotation
    np.testing.assert_allclose(model, np.diag(np.diag(model)), atol=1e-9)


def test_modes_of_a_singular_covariance_are_orthogonal_and_one_is_resolved():
    """Homogeneous networks have rank one: every entry moves with every other."""
    direction = np.linspace(1, 2, 126)
    covariance = 1e-4 * np.outer(direction, direction)
    model = gaussian_covariance(np.outer(POINTS, POINTS) + 1e-3 * np.eye(6), 4)
    modes = noise_modes(covariance, 10_000, [model], direction[:, None])
    np.testing.assert_allclose(
        modes.rotation.T @ modes.rotation, np.eye(126), atol=1e-9
    )
    assert np.sum(modes.variance > modes.rounding) == 1
    largest = 1e-4 * np.sum(direction**2)
    # Widened as a t distribution.
    assert modes.variance[0] == pytest.approx(largest * 9999 / 9997, rel=1e-6)
    assert modes.rounding == pytest.approx(1e-7 * largest)


def test_orders_are_scaled_each_to_its_own_noise():
    covariance = np.diag([1.0, 1.0, 100.0, 100.0])
    responses = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    modes = noise_modes(covariance, 10**6, [np.eye(2), np.eye(2)], responses)
    np.testing.assert_allclose(np.sort(modes.variance), [1, 1, 100, 100], rtol=1e-5)


def test_one_entry_has_its_own_variance():
    modes = noise_modes(np.array([[0.04]]), 1001, [np.eye(1)], np.array([[2.0]]))
    assert modes.variance[0] == pytest.approx(0.04 * 1000 / 998)
    assert modes.relative_noise == pytest.approx(0.2)


def test_exact_data_have_no_noise():
    modes = no_noise(3)
    assert modes.rounding == 0
    assert not modes.variance.any()
