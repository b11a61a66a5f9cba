import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from oracles import deep_networks as oracle

from nnft_ppl import Activation
from nnft_ppl.correlators.deep.layer_recursion import LayerStep
from nnft_ppl.correlators.deep.second_order import second_order


def steps(function, widths, weight_std=1.3, bias_std=0.0):
    activation = Activation(name="phi", function=function)
    return [LayerStep(activation, n, weight_std**2, bias_std**2) for n in widths]


@pytest.mark.parametrize("exponent", [1, 2, 3, 4])
@pytest.mark.parametrize("half", [False, True])
def test_powers_agree_with_products_of_exact_moments(exponent, half):
    # F is a power of K of degree h: h = 4 has all the derivatives that enter.
    def function(z):
        return (jnp.maximum(z, 0.0) if half else z) ** exponent

    widths = (30, 50, 20) if exponent < 3 else (30, 50)
    found = second_order(steps(function, widths), np.array([0.7, 1.3]))
    one, two, three = (
        oracle.power_chain_series(widths, (exponent, half), p) for p in (1, 2, 3)
    )
    variance = [two[1] - 2 * one[1], two[2] - 2 * one[2] - one[1] ** 2]
    # E y³ − 3 E y² E y + 2 (E y)³ at second order
    skew = three[2] - 3 * (two[2] + two[1] * one[1] + one[2])
    skew += 6 * (one[2] + one[1] ** 2)
    for order in (0, 1):
        shift = found.mean[order] / found.limit
        assert shift == pytest.approx(one[order + 1], rel=1e-8, abs=1e-12)
        spread = found.variance[order] / found.limit**2
        assert spread == pytest.approx(variance[order], rel=1e-8, abs=1e-12)
    assert found.skew / found.limit**3 == pytest.approx(skew, rel=1e-8)


@pytest.mark.slow
def test_second_order_accounts_for_what_sampled_networks_have_beyond_the_first():
    width = 16
    weight_std, bias_std, x = 1.5, 0.1, np.array([[0.1]])
    kernels = np.concatenate(
        [
            oracle.random_kernels(
                scipy.special.erf, x, (width,) * 3, weight_std, bias_std, 50_000, seed
            )
            for seed in range(4)
        ]
    )
    (mean, mean_error), (four, four_error) = oracle.sampled_functions(kernels)
    first = np.array([bias_std**2 + weight_std**2 * x[0, 0] ** 2])
    found = second_order(
        steps(jax.scipy.special.erf, (width,) * 3, weight_std, bias_std), first
    )
    leading, next_order = 3 * found.variance
    assert abs(next_order[0]) > 10 * four_error.item()
    assert abs(four.item() - leading[0] - next_order[0]) < 4 * four_error.item()
    shift = found.limit + found.mean.sum(axis=0)
    assert abs(mean.item() - shift[0]) < 4 * mean_error.item()


def test_no_variance_does_not_fluctuate():
    found = second_order(steps(jnp.tanh, (10, 20)), np.zeros(1))
    assert not np.concatenate([found.mean, found.variance]).any()
