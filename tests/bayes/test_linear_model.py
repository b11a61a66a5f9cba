import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from nnft_ppl.bayes.linear_model import condition, draw_field

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("num_features", [3, 6, 9], ids=["few", "as many", "more"])
def test_evidence_and_predictive_are_those_of_the_kernel(num_features):
    features, new = (
        RNG.normal(size=(6, num_features)),
        RNG.normal(size=(2, num_features)),
    )
    y, noise = RNG.normal(size=(6, 2)), 0.3
    with jax.enable_x64(True):
        given = condition(features, new, y, noise)
    seen = features @ features.T + noise**2 * np.eye(6)
    expected = multivariate_normal(cov=seen).logpdf(y.T).sum()
    gain = new @ features.T @ np.linalg.inv(seen)
    covariance = new @ new.T - gain @ features @ new.T
    np.testing.assert_allclose(given.log_evidence, expected, rtol=1e-10)
    np.testing.assert_allclose(given.mean, gain @ y, rtol=1e-9)
    np.testing.assert_allclose(given.variance, np.diag(covariance), rtol=1e-9)


@pytest.mark.parametrize("num_features", [3, 9], ids=["few", "more"])
def test_draws_have_mean_and_covariance_of_the_predictive(num_features):
    features, new = (
        RNG.normal(size=(6, num_features)),
        RNG.normal(size=(2, num_features)),
    )
    y, noise, number = RNG.normal(size=(6, 1)), 0.3, 100_000
    normals = RNG.normal(size=(number, num_features, 1))
    errors = RNG.normal(size=(number, 6, 1))
    with jax.enable_x64(True):
        draws = np.asarray(
            jax.vmap(lambda n, e: draw_field(features, y, noise, n, e))(normals, errors)
        )
    field = (new @ draws)[..., 0]
    seen = features @ features.T + noise**2 * np.eye(6)
    gain = new @ features.T @ np.linalg.inv(seen)
    covariance = new @ new.T - gain @ features @ new.T
    error = np.sqrt(np.diag(covariance) / number)
    assert (abs(field.mean(axis=0) - (gain @ y)[:, 0]) < 4 * error).all()
    np.testing.assert_allclose(
        np.cov(field.T), covariance, atol=0.02 * np.diag(covariance).max()
    )


def test_a_singular_kernel_has_no_evidence():
    features = np.array([[1.0, 0.0], [1.0, 0.0]])
    with jax.enable_x64(True):
        given = condition(features, features[:1], np.array([[1.0], [2.0]]), 0.0)
    assert float(given.log_evidence) == -np.inf
