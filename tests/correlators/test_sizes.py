"""Outputs whose correlators no float64 holds are refused; the others are right."""

import jax
import numpy as np
import pytest

import nnft_ppl as nnft

X = [0.2, 0.6, 1.0]


def relative(weight_std: float, **how) -> np.ndarray:
    net = nnft.network("relu-net", width=5, input_dim=1, weight_std=weight_std)
    found = (
        nnft.measure_correlators(net, X, key=jax.random.key(0), **how)
        if how
        else nnft.exact_correlators(net, X)
    )
    return np.asarray(found.connected(4)) / net.kernel([X[0]])[0, 0] ** 2


@pytest.mark.parametrize("weight_std", [1e-8, 1e-3, 1e6])
def test_the_scale_of_weights_drops_out(weight_std: float):
    np.testing.assert_allclose(relative(weight_std), relative(1.0), rtol=1e-9)
    how = {"num_draws": 200}
    np.testing.assert_allclose(
        relative(weight_std, **how), relative(1.0, **how), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("weight_std", "orders"),
    [(1e-18, (2, 4)), (1e-18, (2, 4, 6)), (1e18, (2, 4, 6))],
)
def test_beyond_the_range_the_range_is_told(weight_std: float, orders):
    net = nnft.network("relu-net", width=5, input_dim=1, weight_std=weight_std)
    with pytest.raises(
        nnft.SpecError, match=r"outputs of 'relu-net' are of size .*from 1e-\d+ to 1e\d"
    ):
        nnft.measure_correlators(net, X, orders, num_draws=500, key=jax.random.key(0))


def test_an_exact_eight_point_function_that_underflows_is_refused():
    net = nnft.network("relu-net", width=5, input_dim=1, weight_std=1e-18)
    assert (np.asarray(nnft.exact_correlators(net, X).connected(4)) > 0).all()
    with pytest.raises(nnft.SpecError, match=r"their 8-pt function can be had from"):
        nnft.exact_correlators(net, [0.02, 0.6], (2, 4, 6, 8))


@pytest.mark.parametrize(
    "weight_std", [1e-300, 1e300, 10**400], ids=["small", "large", "400 digits"]
)
def test_weights_beyond_float32_are_refused(weight_std: float):
    with pytest.raises(nnft.SpecError, match=r"`weight_std` is .*from 1e-18 to 1e\+18"):
        nnft.network("relu-net", width=5, input_dim=1, weight_std=weight_std)


@pytest.mark.parametrize("name", ["width", "input_dim", "output_dim"])
def test_sizes_beyond_what_jax_numbers_are_refused(name: str):
    given = {"width": 5, "input_dim": 1, name: 99999999999999999999}
    with pytest.raises(nnft.SpecError, match=rf"`{name}` is 9+; .* from 1 to 2"):
        nnft.network("relu-net", **given)
