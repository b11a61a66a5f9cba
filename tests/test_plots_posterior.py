"""Figures of posteriors: what is drawn are the numbers of the comparison."""

import jax
import numpy as np
import pandas as pd
import pytest

import nnft_ppl as nnft
from nnft_ppl import plots
from nnft_ppl.bayes.comparison import EXACT, FIRST, GAUSSIAN
from nnft_ppl.bayes.data_set import DataSet

KEY = jax.random.key(1)
NET = nnft.network("erf-net", width=20, input_dim=1, bias_std=1.0)
X, Y = np.array([1.0, 5.0, 9.0]), np.array([20.0, 40.0, 30.0])
X_NEW, Y_NEW = np.array([7.0, 3.0]), np.array([35.0, 30.0])


@pytest.fixture(scope="module")
def data():
    return DataSet.checked(NET, X, Y, X_NEW, Y_NEW, standardise=True)


@pytest.fixture(scope="module")
def compared(data):
    return nnft.compare_posteriors(
        NET, data.x, data.y, data.x_new, noise_std=0.5, num_draws=500, key=KEY,
        y_new=data.y_new,
    )  # fmt: skip


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines()}


def test_bands_are_in_the_units_of_the_user(compared, data):
    figure = plots.plot_predictive(compared, standard=data.standard)
    upper, lower = figure.axes
    drawn = lines(upper)
    np.testing.assert_allclose(drawn[EXACT].get_xdata(), [3, 7])  # sorted
    mean = Y.mean() + Y.std() * compared.exact.mean[::-1]
    np.testing.assert_allclose(drawn[EXACT].get_ydata(), mean)
    np.testing.assert_allclose(drawn["data"].get_ydata(), Y)
    np.testing.assert_allclose(drawn["held out"].get_ydata(), Y_NEW[::-1])
    assert drawn[EXACT].get_marker() == "D"  # two inputs, and a line only joins them
    assert {GAUSSIAN, FIRST} <= set(drawn)
    away = compared.moments(GAUSSIAN)[0][:, 0] - compared.exact.mean
    expected = (away / np.sqrt(compared.exact.variance))[::-1]
    np.testing.assert_allclose(lower.get_lines()[1].get_ydata(), expected)


def test_a_posterior_alone_has_one_panel(compared):
    figure = plots.plot_predictive(compared.exact)
    (axis,) = figure.axes
    np.testing.assert_allclose(lines(axis)[EXACT].get_xdata(), compared.exact.data[
        "predictions_constant_data"]["x_new"].to_numpy()[::-1, 0])  # fmt: skip


def test_inputs_of_several_numbers_are_in_the_order_of_the_mean():
    net = nnft.network("relu-net", width=20, input_dim=2, output_dim=2)
    rng = np.random.default_rng(0)
    x, x_new, y = (rng.normal(size=(n, 2)) for n in (6, 5, 6))
    found = nnft.posterior(net, x, y, x_new, noise_std=0.5, num_draws=500, key=KEY)
    figure = plots.plot_predictive(found)
    for axis, mean in zip(figure.axes, found.mean.T, strict=True):
        np.testing.assert_allclose(lines(axis)[EXACT].get_ydata(), np.sort(mean))


@pytest.fixture(scope="module")
def curve():
    table = pd.DataFrame(
        {
            "log_evidence": [-5.0, -4.0],
            "error": [0.2, np.inf],
            "method": ["smc", "weights"],
            "effective_draws": [400.0, 9.0],
            "pareto_k": [np.inf, 0.8],
        },
        index=pd.Index([5, 20], name="width"),
    )
    return nnft.EvidenceCurve(NET, table, -4.5, 1000)


def test_evidence_is_drawn_beside_the_gaussian_process(curve):
    (axis,) = plots.plot_evidence(curve).axes
    assert set(lines(axis)["Gaussian process"].get_ydata()) == {-4.5}
    assert [c.get_label() for c in axis.containers] == [
        "by weights (1 sd)",
        "by tempered Monte Carlo (1 sd)",
    ]


def test_weights_are_drawn_with_what_is_trusted(curve):
    figure = plots.plot_weights(curve)
    left, right = figure.axes
    (limit,) = (
        set(line.get_ydata()) for line in left.get_lines() if "fail" in line.get_label()
    )
    assert limit == {1 - 1 / 3}  # of 1000 networks
    assert set(lines(right)["networks drawn"].get_ydata()) == {1000}
    plots.png(figure)  # an infinite k has no point
