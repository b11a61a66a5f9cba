"""Predictions know neither the cutoff nor the units, at inputs of any size."""

import jax
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from properties.random_cases import HOMOGENEOUS, exact, few, inputs, networks

import nnft_ppl as nnft

KEY = jax.random.key(0)


def fitted(data, operator, cutoffs):
    return nnft.fit_couplings(
        data,
        nnft.Action([operator]),
        cutoffs,
        key=KEY,
        num_samples=200,
        num_chains=2,
        sampler="conjugate",
    )


def predicted(fit):
    """Means and spreads of the 4-pt function, (cutoff, entry)."""
    draws = fit.predict(4)
    return draws.mean(["chain", "draw"]).values, draws.std(["chain", "draw"]).values


def quartic(unit):
    return nnft.Operator(
        name="quartic",
        symbol="u",
        fields=(0, 0, 0, 0),
        weight=lambda y: unit * np.ones(y.shape[:-1]),
    )


@few(4)
@given(networks(HOMOGENEOUS, bias=False), inputs(positive=True), st.floats(0.5, 1e4))
def test_predictions_of_an_exact_law_do_not_move_with_the_cutoff(net, x, ratio):
    far = 10 * x.max()
    mean, spread = predicted(fitted(exact(net, x), "lambda_0", [far, ratio * far]))
    np.testing.assert_allclose(mean[1], mean[0], rtol=1e-8)
    assert (np.abs(mean[1] - mean[0]) <= 1e-3 * spread[0] + 1e-9 * mean[0]).all()


@few(4)
@given(networks(width=20), inputs(largest=0), st.integers(-12, 12))
def test_predictions_do_not_know_the_unit_of_a_coupling(net, x, power):
    data = exact(net, x)
    assume((data.connected_error(4) < 1e-3 * np.abs(data.connected(4))).all())
    fits = [
        fitted(data, quartic(unit), [2.0 * np.abs(x).max()])
        for unit in (1.0, 10.0**power)
    ]
    (one, _), (other, _) = (predicted(fit) for fit in fits)
    np.testing.assert_allclose(other, one, rtol=1e-9)
    couplings = [fit.summary()["mean"].item() for fit in fits]
    assert couplings[0] == np.float64(couplings[1] * 10.0**power) or np.isclose(
        couplings[0], couplings[1] * 10.0**power, rtol=1e-9, atol=0
    )


@few(4)
@given(
    networks(HOMOGENEOUS, bias=False),
    inputs(positive=True, largest=4),
    st.integers(-3, 3),
)
def test_predictions_scale_with_inputs_and_cutoff_together(net, x, power):
    factor = 2.0**power
    (one, _), (other, _) = (
        predicted(fitted(exact(net, c * x), "lambda_0", [3.0 * c * x.max()]))
        for c in (1.0, factor)
    )
    degree = net.neuron().homogeneity
    np.testing.assert_allclose(other, factor ** (4 * degree) * one, rtol=1e-9)
