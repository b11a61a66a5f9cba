"""The mean relative deviation from the GP, against closed forms."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.correlators.deviation import mean_deviation


def relu(width: int):
    return nnft.network("relu-net", width=width, input_dim=1)


def test_exact_relu_deviations_are_those_of_theory():
    """G4c/G4_GP = 5/N at every entry; G6 adds 15·5/N·… (theory.md §2, §8)."""
    exact = nnft.exact_correlators(relu(20), [0.2, 0.7, 1.1], orders=(2, 4, 6))
    assert mean_deviation(exact, 2).value == pytest.approx(0, abs=1e-12)
    assert mean_deviation(exact, 4).value == pytest.approx(5 / 20, rel=1e-9)
    # E f⁶/(15 K³) − 1 = 3·(5/N) + G6c/(15 K³), G6c = 82.5/N², K = 1/2.
    expected = 15 / 20 + 82.5 / 20**2 / (15 / 8)
    assert mean_deviation(exact, 6).value == pytest.approx(expected, rel=1e-9)


def test_exact_deviation_has_no_background():
    exact = nnft.exact_correlators(relu(5), [0.2, 0.7], orders=(2, 4))
    assert mean_deviation(exact, 4).background == 0
    assert not mean_deviation(exact, 4).is_heavy_tailed


@pytest.mark.parametrize("estimator", ["conditional", "moments"])
def test_measured_deviation_agrees_within_its_error(estimator: str):
    measured = nnft.measure_correlators(
        relu(20),
        [0.2, 0.7],
        orders=(2, 4),
        num_draws=20_000,
        key=jax.random.key(1),
        estimator=estimator,
    )
    found = mean_deviation(measured, 4)
    assert abs(found.value - 0.25) < 4 * found.error  # seed 1, 4 standard errors
    # ReLU on one side of zero has one mode: all entries deviate together.
    assert found.error == pytest.approx(found.background, rel=1e-3)


@pytest.mark.slow
def test_error_is_that_of_the_mean_over_entries():
    """Against the spread over independent ensembles."""
    found = [
        mean_deviation(
            nnft.measure_correlators(
                nnft.network("erf-net", width=3, input_dim=1, bias_std=1.0),
                [-1.0, 0.3],
                orders=(2, 4),
                num_draws=500,
                key=jax.random.key(seed),
            ),
            4,
        )
        for seed in range(40)
    ]
    spread = np.std([d.value for d in found], ddof=1)
    error = np.mean([d.error for d in found])
    assert spread == pytest.approx(error, rel=4 / np.sqrt(2 * 39))  # 4 sd of a spread


def test_deviations_of_both_signs_have_errors_of_both_signs():
    """Noise common to all entries moves |r| up where r > 0 and down where r < 0."""
    measured = nnft.measure_correlators(
        relu(20), [0.2, 0.7, 1.1], orders=(2, 4), num_draws=2000, key=jax.random.key(1)
    )
    kernel = measured.network.kernel(measured.x)
    gaussian = measured.gaussian_moment(4)
    relative = np.where(np.arange(15) % 3, 0.2, -0.3)
    common = np.zeros((21, 21))
    common[6:, 6:] = 1e-6
    made = replace(
        measured,
        connected_values={2: kernel[np.triu_indices(3)], 4: relative * gaussian},
        joint_covariance=common,
    )
    found = mean_deviation(made, 4)
    assert found.value == pytest.approx(np.mean(np.abs(relative)))
    expected = 1e-3 * abs(np.mean(np.sign(relative) / gaussian))
    assert found.error == pytest.approx(expected, rel=1e-9)
    assert expected < 0.8 * found.background


def test_order_that_is_not_there_is_refused():
    exact = nnft.exact_correlators(relu(5), [0.2, 0.7], orders=(2, 4))
    with pytest.raises(nnft.SpecError, match="order 6 is not among the orders"):
        mean_deviation(exact, 6)


def test_error_of_an_expansion_covers_the_order_that_it_leaves_out():
    """Deep ReLU: (1 + 5/n)² − 1, of which the expansion has 10/n."""
    net = nnft.network("mlp", width=20, input_dim=1, depth=2, activation="relu")
    found = mean_deviation(nnft.recursion_correlators(net, [0.2, 0.6, 1.0]), 4)
    assert found.value == pytest.approx(0.5)
    assert found.error == pytest.approx(0.25**2, rel=1e-6)
