"""`quadratic-net` keeps the contract, and its closed forms agree with other methods."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nnft_ppl as nnft


def net(*, width: int = 20, input_dim: int = 2, **rest: Any) -> nnft.Network:
    """The net, small unless said otherwise."""
    return nnft.network("quadratic-net", width=width, input_dim=input_dim, **rest)


@pytest.mark.parametrize(("input_dim", "centring"), [(1, 0.0), (2, 0.4)])
def test_all_that_is_declared_is_true(input_dim: int, centring: float) -> None:
    """In one dimension and two, for plain squares and centred ones."""
    network = net(input_dim=input_dim, bias_std=0.5, centring=centring)
    nnft.testing.check_architecture(network, num_draws=5000)


def square_moment(s: np.ndarray, centring: float, legs: tuple[int, ...]) -> float:
    """E[Π (z_i² − c s_ii)] by Gauss–Hermite quadrature over two z, exact here."""
    root = np.linalg.cholesky(s)
    node, weight = np.polynomial.hermite_e.hermegauss(20)  # exact up to degree 39
    weight = weight / weight.sum()
    z = (root[0, 0] * node[:, None], root[1, 0] * node[:, None] + root[1, 1] * node)
    product = np.ones((20, 20))
    for leg in legs:
        product = product * (z[leg] ** 2 - centring * s[leg, leg])
    return float(weight @ product @ weight)


@pytest.mark.parametrize("centring", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("legs", [(0, 1), (0, 0, 1, 1), (0, 0, 0, 1, 1, 1), (0, 1) * 4])
def test_mean_of_squares_is_the_integral(
    legs: tuple[int, ...], centring: float
) -> None:
    """Of up to eight factors, with repetitions."""
    s = np.array([[0.9, -0.4], [-0.4, 1.3]])
    neuron = net(centring=centring).neuron()
    assert neuron is not None
    assert neuron.product_mean is not None
    with jax.enable_x64(True):  # as nnft_ppl calls it
        found = neuron.product_mean(jnp.asarray(s[np.ix_(legs, legs)]))
    assert found.item() == pytest.approx(square_moment(s, centring, legs), rel=1e-10)


@pytest.mark.parametrize("centring", [0.0, 0.4, 1.0])
def test_kernel_is_the_integral_over_one_hidden_unit(centring: float) -> None:
    """σ_b² + σ_W² E[φ φ']."""
    weight_std, bias_std, x = 1.3, 0.5, np.array([[0.7, -0.2], [0.1, 0.9]])
    s = bias_std**2 + weight_std**2 * x @ x.T / 2
    expected = bias_std**2 + weight_std**2 * square_moment(s, centring, (0, 1))
    network = net(weight_std=weight_std, bias_std=bias_std, centring=centring)
    assert network.kernel(x)[0, 1] == pytest.approx(expected, rel=1e-9)


def test_four_point_function_of_one_input() -> None:
    """3 (E z⁸ − (E z⁴)²)/N = 3 (105 − 9) s⁴/N at one input, with E z^k = (k−1)!! ."""
    correlators = nnft.exact_correlators(net(input_dim=1), np.array([2.0]), (4,))
    assert correlators.connected(4).item() == pytest.approx(288 * 4.0**4 / 20)


def test_widths_approach_the_gaussian_process() -> None:
    """The connected 4-pt function falls as 1/N, exactly."""
    x = np.array([[0.3, 0.2], [-0.4, 1.0]])
    four = [
        nnft.exact_correlators(net(width=n), x, orders=(4,)).connected(4)
        for n in (10, 20, 40)
    ]
    for narrow, wide in pairwise(four):
        np.testing.assert_allclose(narrow, 2 * wide, rtol=1e-12)


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_centring_out_of_bounds_is_refused(value: float) -> None:
    """The option has bounds."""
    with pytest.raises(nnft.SpecError, match=r"`centring` .* between 0.0 and 1.0"):
        net(centring=value)
