"""An error of the kernel reaches the couplings, or the fit is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.correlators.deviation import mean_deviation

KEY = jax.random.key(0)
X = np.array([0.2, 0.6, 1.0])
ACTION = nnft.Action(["lambda_0"])


def relu_correlators(error):
    """Exact correlators of a ReLU-net, its kernel known to a share of itself."""
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=0.0)
    known = net.architecture.kernel
    architecture = replace(
        net.architecture, kernel_error=lambda hp, x, y: error * jnp.abs(known(hp, x, y))
    )
    network = nnft.Network(architecture, net.hyperparameters)
    return nnft.exact_correlators(network, X, (2, 4))


def fitted(correlators, cutoffs=(10.0, 100.0)):
    return nnft.fit_couplings(
        correlators, ACTION, cutoffs, key=KEY, sampler="conjugate"
    )


def test_a_coupling_carries_four_times_the_error_of_the_kernel():
    fit = fitted(relu_correlators(0.005))
    table = fit.summary()
    # 4000 draws: the standard deviation is known to 1.1 %.
    np.testing.assert_allclose(table["sd"] / -table["mean"], 0.02, rtol=0.05)
    check = next(c for c in nnft.diagnose(fit) if c.name == "kernel")
    assert check.passed
    assert check.value == pytest.approx(0.02)


def test_an_error_that_decides_the_coupling_fails_its_check():
    fit = fitted(relu_correlators(0.02), [10.0])
    check = next(c for c in nnft.diagnose(fit) if c.name == "kernel")
    assert not check.passed
    assert "scale the inputs down" in check.message


def test_a_fit_to_a_kernel_that_is_hardly_known_is_refused():
    with pytest.raises(nnft.FitError, match=r"kernel is known to a relative 5.0e-02"):
        fitted(relu_correlators(0.05))


def test_the_law_of_running_carries_it_too():
    cutoffs = [10.0, 20.0, 50.0, 100.0]
    spreads = [
        float(
            nnft.fit_running(
                relu_correlators(error), ACTION, cutoffs, key=KEY, num_samples=250
            ).log_amplitude.std()
        )
        for error in (0.0, 0.005)
    ]
    assert spreads[0] < 1e-3
    # Common to all cutoffs, and once more at each of the four.
    assert spreads[1] == pytest.approx(0.02 * np.sqrt(1 + 1 / 4), rel=0.1)


def test_closed_forms_have_no_such_check():
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=0.0)
    fit = fitted(nnft.exact_correlators(net, X, (2, 4)))
    assert "kernel" not in [check.name for check in nnft.diagnose(fit)]


@pytest.mark.slow
def test_a_jump_that_nobody_declared_gives_the_right_coupling():
    def step(z):
        return jnp.where(z > 0, 1.0, 0.0)

    net = nnft.network(
        "mlp", width=20, input_dim=1, depth=1, activation=step, bias_std=0.1
    )
    exact = nnft.exact_correlators(net, np.array([0.2, 0.5, 1.0]), (2, 4))
    row = fitted(exact, [3.0]).summary().iloc[0]
    # With the step declared as homogeneous, whose kernel is a closed form.
    assert row["mean"] == pytest.approx(-0.01005, abs=3e-5)


def test_the_deviation_from_the_gaussian_process_carries_it():
    plain, doubtful = (
        mean_deviation(relu_correlators(error), 4) for error in (0.0, 0.01)
    )
    assert doubtful.value == plain.value
    assert doubtful.error == pytest.approx(plain.error + 0.02, rel=1e-9)
