"""Deep linear networks, whose posterior is known in closed form."""

import jax
import numpy as np
import pytest
from oracles import finite_width_posterior as oracle
from scipy import integrate

import nnft_ppl as nnft

RNG = np.random.default_rng(3)
X, X_NEW = RNG.normal(size=(3, 5)), RNG.normal(size=(2, 5))
Y = np.array([0.5, -0.4, 0.8])
WEIGHT_STD = 1.2


def linear_network(widths, input_dim):
    width = max(widths)
    return nnft.network(
        "mlp",
        width=width,
        input_dim=input_dim,
        depth=len(widths),
        activation="identity",
        width_factors=",".join(str(n / width) for n in widths),
        weight_std=WEIGHT_STD,
    )


def by_sampling(widths, x, y, x_new, noise_std, num_samples=25):
    return nnft.posterior(
        linear_network(widths, x.shape[1]),
        x,
        y,
        x_new,
        noise_std=noise_std,
        num_draws=60_000,
        key=jax.random.key(5),
        num_samples=num_samples,
    )


def agrees(post, expected, sigmas=4.5):
    """Within so many standard errors.

    A variance's is about its size over the root of the effective draws, times the
    relative spread of s, the square of a chi-squared number, which is of order one.
    """
    log_evidence, mean, variance = expected
    assert post.method == "weights"
    assert abs(post.log_evidence - log_evidence) < sigmas * post.log_evidence_error
    assert post.log_evidence_error < 0.05
    error = post.mean_error + 1e-6
    assert (abs(post.mean - mean.reshape(post.mean.shape)) < sigmas * error).all()
    ratio = post.variance / variance.reshape(post.mean.shape)
    assert (abs(ratio - 1) < 1e-5 + 3 * sigmas / post.effective_draws**0.5).all()


@pytest.mark.parametrize("widths", [(3,), (2, 3)], ids=["shallow", "deep"])
def test_inputs_of_one_dimension_with_noise(widths):
    x = np.array([[-1.2], [-0.3], [0.4], [1.1]])
    y, x_new = np.array([0.4, -0.5, 0.2, 0.9]), np.array([[-0.8], [0.1], [2.0]])
    agrees(
        by_sampling(widths, x, y, x_new, 0.3),
        oracle.deep_linear(
            x,
            y[:, None],
            x_new,
            widths=widths,
            weight_std=WEIGHT_STD,
            noise_std=0.3,
            num_nodes=2000 if len(widths) == 1 else 600,
        ),
    )


def test_inputs_of_many_dimensions_with_noise():
    widths = (6, 8)
    agrees(
        by_sampling(widths, X, Y, X_NEW, 0.3),
        oracle.deep_linear(
            X,
            Y[:, None],
            X_NEW,
            widths=widths,
            weight_std=WEIGHT_STD,
            noise_std=0.3,
            num_nodes=600,
        ),
    )


@pytest.mark.parametrize("widths", [(12,), (8, 12), (9, 8, 12)], ids=["1", "2", "3"])
def test_without_noise_it_is_a_function_of_meijer(widths):
    post = by_sampling(widths, X, Y, X_NEW, 0.0, num_samples=2000)
    expected = oracle.deep_linear_noiseless(
        X, Y, X_NEW, widths=widths, weight_std=WEIGHT_STD
    )
    agrees(post, expected)
    # Of one more value, as one more datum: the density of the field is a ratio of
    # evidences, known in closed form, and the draws have its distribution.
    _, mean, variance = expected
    places = mean[0] + variance[0] ** 0.5 * np.linspace(-12, 12, 121)
    with_it = [
        oracle.deep_linear_noiseless(
            np.concatenate([X, X_NEW[:1]]),
            np.append(Y, place),
            X_NEW[1:],
            widths=widths,
            weight_std=WEIGHT_STD,
        )[0]
        for place in places
    ]
    density = np.exp(np.array(with_it) - expected[0])
    below = integrate.cumulative_trapezoid(density, places, initial=0)
    assert below[-1] == pytest.approx(1, abs=1e-4)
    for probability in (0.05, 0.3, 0.9):
        quantile = np.interp(probability, below, places)
        found = np.mean(post.data["predictions"]["f"].to_numpy()[..., 0] < quantile)
        error = (probability * (1 - probability) / 8000) ** 0.5
        assert found == pytest.approx(probability, abs=4.5 * error)


def test_the_function_of_meijer_is_a_bessel_function_in_one_hidden_layer():
    given = (X, Y, X_NEW)
    closed = oracle.shallow_linear_noiseless(*given, width=12, weight_std=WEIGHT_STD)
    general = oracle.deep_linear_noiseless(*given, widths=(12,), weight_std=WEIGHT_STD)
    for one, other in zip(closed, general, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_the_function_of_meijer_is_the_quadrature_of_little_noise():
    widths = (8, 12)
    general = oracle.deep_linear_noiseless(
        X, Y, X_NEW, widths=widths, weight_std=WEIGHT_STD
    )
    noisy = oracle.deep_linear(
        X,
        Y[:, None],
        X_NEW,
        widths=widths,
        weight_std=WEIGHT_STD,
        noise_std=1e-4,
        num_nodes=600,
    )
    for one, other in zip(general, noisy, strict=True):
        np.testing.assert_allclose(one, np.ravel(other), rtol=1e-6)
