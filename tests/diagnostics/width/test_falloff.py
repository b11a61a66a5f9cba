"""The exponent of a connected correlator against exact laws and simulated noise."""

import dataclasses

import jax
import numpy as np
import pytest

import nnft_ppl as nnft

X = [0.4, 1.0]
KEY = jax.random.key(0)


def net(width, name="relu-net", **options):
    return nnft.network(name, width=width, input_dim=1, **options)


def exact(width, name="relu-net", **options):
    return nnft.exact_correlators(net(width, name, **options), X, orders=(2, 4, 6))


def measured(width, num_draws=2000, estimator="conditional", seed=0):
    return nnft.measure_correlators(
        net(width),
        X,
        (2, 4, 6),
        num_draws=num_draws,
        key=jax.random.key(seed),
        estimator=estimator,
    )


@pytest.mark.parametrize(
    # theory.md §2, over Π √K(x, x) with K = x²/2.
    ("order", "power", "amplitude"),
    [(4, -1, 4 * 15 / 4), (6, -2, 8 * 82.5)],
)
def test_exact_correlators_fall_with_the_power_of_their_order(order, power, amplitude):
    found = nnft.falloff([exact(width) for width in (50, 5, 500)], order)
    assert found.exponent == pytest.approx(power, abs=1e-8)
    assert found.expected == power
    assert found.exponent_error < 1e-8
    assert found.amplitude == pytest.approx(amplitude, rel=1e-8)
    np.testing.assert_allclose(found.table["size"], found.law([5, 50, 500]), rtol=1e-8)


@pytest.mark.parametrize("order", [4, 6])
def test_measured_correlators_fall_within_their_error(order):
    found = nnft.falloff([measured(w, 20_000, seed=w) for w in (20, 60, 200)], order)
    assert 0 < found.exponent_error < 0.1
    assert abs(found.exponent - found.expected) < 4 * found.exponent_error
    truth = [exact(width).connected(order) for width in (20, 60, 200)]
    size = np.array([np.abs(one[0]) for one in truth]) / 0.08 ** (
        order / 2
    )  # K(.4, .4)
    pull = (found.table["size"] - size) / found.table["error"]
    assert (abs(pull) < 4).all()


def simulated(base, noise, rng):
    """Exact values of G4c with independent noise, given relative to each of them."""
    products = np.prod(np.array(X)[base.entries(4)], axis=1)
    truth = 3.75 / base.network.width * products  # theory.md §2
    covariance = np.zeros_like(base.joint_covariance)
    span = slice(len(base.connected(2)), len(base.connected(2)) + len(truth))
    covariance[span, span] = np.diag((noise * truth) ** 2)
    noisy = truth * (1 + noise * rng.normal(size=len(truth)))
    return dataclasses.replace(
        base,
        connected_values={**base.connected_values, 4: noisy},
        joint_covariance=covariance,
        effective_batches={k: v + 1000 for k, v in base.effective_batches.items()},
    )


def test_error_of_the_exponent_is_its_scatter_and_noise_leaves_no_bias():
    rng = np.random.default_rng(0)
    noises = {10: 0.03, 20: 0.1, 40: 0.2, 80: 0.3}
    bases = [(measured(width), noise) for width, noise in noises.items()]
    found = [
        nnft.falloff([simulated(base, noise, rng) for base, noise in bases])
        for _ in range(150)
    ]
    pulls = np.array([(one.exponent + 1) / one.exponent_error for one in found])
    assert abs(pulls.mean()) < 4 / np.sqrt(150)
    # Scatter above the errors widens them, and scatter below does not narrow them.
    assert 0.75 < pulls.std() < 1.15
    # So χ² is by the errors alone, and its p-value uniform: mean ½, sd √(1/12).
    assert np.mean([one.p_value for one in found]) == pytest.approx(0.5, abs=0.095)


def test_the_background_is_taken_off():
    """With noise of half the signal the plain mean square would be 1.25 times it."""
    rng = np.random.default_rng(1)
    base, without = measured(50), [exact(5), exact(7)]
    squares = []
    for _ in range(200):
        found = nnft.falloff([*without, simulated(base, 0.5, rng)])
        row = found.table.loc[50]
        assert row["background"] == pytest.approx(0.5 * 15 / 50, rel=1e-6)
        squares.append(row["size"] ** 2)
    assert (found.table["background"][[5, 7]] == 0).all()
    error = np.std(squares) / np.sqrt(200)
    assert error < 0.05 * (15 / 50) ** 2
    assert np.mean(squares) == pytest.approx((15 / 50) ** 2, abs=4 * error)


def test_a_width_below_the_noise_is_said_to_be_and_left_out():
    found = nnft.falloff(
        [measured(20, 20_000), measured(80, 20_000), measured(1000, 300, "moments")]
    )
    assert list(found.table["left_out"]) == ["", "", "below noise"]
    assert found.message.endswith("left out as below noise: width 1000")
    assert "from width 20 to 80" in repr(found)
    assert np.isnan(found.p_value)  # of two widths


def test_a_heavy_tail_is_said_to_be_and_left_out():
    tail = measured(2, 1000, "moments")
    assert tail.heavy_tailed(6).any()
    found = nnft.falloff([tail, exact(5), exact(10)], 6)
    assert found.table["left_out"][2] in {"heavy tail", "below noise"}
    assert found.exponent == pytest.approx(-2, abs=1e-8)


def test_errors_grow_with_the_scatter_about_the_law():
    """Correlators that follow no power law have an exponent of a large error."""
    other = dataclasses.replace(
        exact(20),
        connected_values={**exact(20).connected_values, 4: exact(10).connected(4)},
    )
    found = nnft.falloff([exact(5), other, exact(80)])
    assert found.exponent_error > 0.05
    assert found.p_value < 1e-10


def test_what_gives_no_exponent_is_refused():
    with pytest.raises(nnft.SpecError, match="expected a list of nnft_ppl"):
        nnft.falloff(exact(5))
    with pytest.raises(nnft.SpecError, match="holds 1 widths"):
        nnft.falloff([exact(5)])
    with pytest.raises(nnft.SpecError, match="holds width 5 more than once"):
        nnft.falloff([exact(5), measured(5)])
    with pytest.raises(nnft.SpecError, match="of different networks"):
        nnft.falloff([exact(5), exact(10, bias_std=1.0)])
    elsewhere = nnft.exact_correlators(net(10), [0.4, 0.8], orders=(2, 4))
    with pytest.raises(nnft.SpecError, match="of different inputs"):
        nnft.falloff([exact(5), elsewhere])
    with pytest.raises(nnft.SpecError, match=r"`order` is 2; expected .* ≥ 3"):
        nnft.falloff([exact(5), exact(10)], 2)
    with pytest.raises(nnft.SpecError, match="order 8 is not among"):
        nnft.falloff([exact(5), exact(10)], 8)
    lost = [measured(width, 300, "moments", seed=width) for width in (1000, 2000)]
    with pytest.raises(nnft.FitError, match="width 1000: below noise, width 2000"):
        nnft.falloff(lost)
