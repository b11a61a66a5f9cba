import jax
import jax.numpy as jnp
import numpy as np
import pytest
from nnft_ppl_architectures.activations import ACTIVATIONS
from oracles.gaussian_products import mean_product as oracle
from scipy.special import erf, ndtr

NUMPY = {
    "relu": lambda z: np.maximum(z, 0.0),
    "erf": erf,
    "tanh": np.tanh,
    "gelu": lambda z: z * ndtr(z),
    "sin": np.sin,
    "identity": lambda z: z,
}
CASES = [(1.0, 1.0, 0.5), (0.3, 4.0, -0.95), (2.0, 0.5, 1.0), (1.0, 1.0, -1.0)]


def test_every_activation_has_an_oracle_here():
    assert set(ACTIVATIONS) == set(NUMPY)
    assert [a.name for a in ACTIVATIONS.values() if a.dual is None] == ["tanh"]


@pytest.mark.parametrize("name", sorted(NUMPY))
def test_functions(name):
    z = np.linspace(-3.0, 3.0, 13)
    with jax.enable_x64(True):
        found = ACTIVATIONS[name].function(jnp.asarray(z))
    np.testing.assert_allclose(found, NUMPY[name](z), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", sorted(set(NUMPY) - {"tanh"}))
def test_closed_forms_agree_with_quadrature(name):
    function, activation = NUMPY[name], ACTIVATIONS[name]
    for q_u, q_v, rho in CASES:
        expected = oracle(function, function, q_u, q_v, rho, activation.kinks)
        with jax.enable_x64(True):
            c = rho * np.sqrt(q_u * q_v)
            found = activation.dual(*map(jnp.asarray, (q_u, q_v, c)))
        assert float(found) == pytest.approx(expected, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("name", sorted(set(NUMPY) - {"tanh"}))
def test_closed_forms_have_slopes_where_arguments_coincide_or_vanish(name):
    with jax.enable_x64(True):
        at = jax.value_and_grad(lambda p: ACTIVATIONS[name].dual(*p))
        for arguments in ((0, 0, 0), (0, 1, 0), (1, 1, 1), (1, 4, -2), (900, 900, 900)):
            value, slopes = at(jnp.asarray(arguments, dtype=float))
            assert np.isfinite(value)
            assert np.isfinite(slopes).all()
