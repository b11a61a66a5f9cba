"""The figure of the running: what is drawn are the numbers of the fits."""

import dataclasses

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl import SpecError
from nnft_ppl._numbers import with_error
from nnft_ppl.eft.flow.exponents import running_alone
from nnft_ppl.inference.law.fit import fit_running
from nnft_ppl.plots.files import png
from nnft_ppl.plots.running import plot_running

X = np.array([0.2, 0.6, 1.2])
CUTOFFS = np.geomspace(7.0, 1e4, 6)


@pytest.fixture(scope="module")
def fit():
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
    return fit_running(
        nnft.exact_correlators(net, X, orders=(2, 4)),
        nnft.Action(["lambda_0"]),
        CUTOFFS,
        key=jax.random.key(0),
        num_warmup=100,
        num_samples=200,
        num_chains=2,
    )


def labels(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_couplings_law_and_exponents_are_those_of_the_fit(fit):
    figure = plot_running(fit)
    upper, lower = figure.axes
    theory, law, points = upper.get_lines()[:3]
    np.testing.assert_allclose(points.get_ydata(), np.abs(fit.coupling[:, 0]))
    drawn = fit.law(law.get_xdata()).median(("chain", "draw"))[:, 0]
    np.testing.assert_allclose(law.get_ydata(), np.abs(drawn))
    # The theory is level with the points on average.
    at_cutoffs = np.interp(
        np.log(CUTOFFS), np.log(theory.get_xdata()), np.log(theory.get_ydata())
    )
    size = np.log(np.abs(fit.coupling[:, 0]))
    assert np.mean(at_cutoffs) == pytest.approx(np.mean(size), abs=0.02)
    curve, rings, secants = lower.get_lines()[:3]
    network = fit.correlators.network
    local, log_g = running_alone(fit.action, network, X, CUTOFFS)
    steps = np.diff(np.log(CUTOFFS))
    np.testing.assert_allclose(rings.get_ydata(), np.diff(log_g[:, 0]) / steps)
    np.testing.assert_allclose(secants.get_ydata(), np.diff(size) / steps)
    assert curve.get_ydata()[0] == pytest.approx(local[0, 0], rel=1e-6)
    assert lower.get_lines()[3].get_ydata()[0] == pytest.approx(-5.0, abs=1e-6)
    assert png(figure)[:4] == b"\x89PNG"


def test_legend_gives_the_exponent_and_says_where_it_does_not_describe(fit):
    row = fit.summary().iloc[0]
    exponent = with_error(row["exponent"], row["exponent_sd"])
    text = labels(plot_running({"one": fit}).axes[0])[0]
    assert text.startswith("one: $\\lambda_0$")
    assert exponent in text
    assert text.endswith("(does not describe)")
    # Couplings that bend by more than 1 % do not follow the law, whatever its scatter.
    denied = dataclasses.replace(fit, scatter=fit.scatter * 1e-6)
    assert labels(plot_running(denied).axes[0])[0].endswith("(undetermined)")
    law = np.exp(np.log(-fit.law(CUTOFFS)).mean(("chain", "draw"))).to_numpy()
    smooth = dataclasses.replace(denied, coupling=law)
    assert labels(plot_running(smooth).axes[0])[0].endswith("}$")


@pytest.mark.parametrize("median", [0.006, 0.015])
def test_legend_gives_the_verdict_of_the_summary_on_either_side_of_1_percent(
    fit, median
):
    """The interval of the scatter reaches over 1 %, on whichever side its median is."""
    spread = np.geomspace(0.25, 4.0, fit.scatter.size).reshape(fit.scatter.shape)
    law = np.exp(np.log(-fit.law(CUTOFFS)).mean(("chain", "draw"))).to_numpy()
    wide = dataclasses.replace(fit, scatter=median * spread, coupling=law)
    row = wide.summary().iloc[0]
    assert row["scatter"] == pytest.approx(median, rel=0.01)
    assert row["verdict"] == "undetermined"
    assert labels(plot_running(wide).axes[0])[0].endswith("(undetermined)")


def test_several_fits_are_told_apart(fit):
    texts = labels(plot_running([fit, fit]).axes[0])
    assert texts[0].startswith("relu-net, $d=1$ (1)")
    assert texts[1].startswith("relu-net, $d=1$ (2)")


def test_no_fits_are_refused():
    with pytest.raises(SpecError, match="no fits to plot"):
        plot_running([])
