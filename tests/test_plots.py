"""Figures: what is drawn are the numbers of the correlators and of the fit."""

import io

import jax
import matplotlib
import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from matplotlib import style

import nnft_ppl as nnft
from nnft_ppl import plots
from nnft_ppl.correlators.deviation import mean_deviation
from nnft_ppl.plots.prediction import chosen_cutoffs, cutoff_label

X = [0.4, 1.0]


def exact(width: int = 20, orders=(2, 4, 6)):
    net = nnft.network("relu-net", width=width, input_dim=1)
    return nnft.exact_correlators(net, X, orders=orders)


def measured(width: int, estimator: str, num_draws: int = 1000):
    net = nnft.network("relu-net", width=width, input_dim=1)
    return nnft.measure_correlators(
        net,
        X,
        orders=(2, 4, 6),
        num_draws=num_draws,
        key=jax.random.key(0),
        estimator=estimator,
    )


def fit(operators, cutoffs, correlators=None):
    return nnft.fit_couplings(
        exact() if correlators is None else correlators,
        nnft.Action(operators),
        cutoffs,
        key=jax.random.key(0),
        num_samples=100,
        num_chains=2,
        sampler="conjugate",
    )


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines()}


def legend_texts(figure):
    boxes = list(figure.legends) + [a.get_legend() for a in figure.axes]
    return [t.get_text() for box in boxes if box for t in box.get_texts()]


def test_deviation_draws_exact_line_plain_points_and_background():
    everything = [exact(w) for w in (3, 30)]
    everything += [measured(w, "moments") for w in (3, 30)]
    everything += [measured(w, "conditional") for w in (3, 30)]
    figure = plots.plot_deviation(everything)
    assert [a.get_title("left") for a in figure.axes] == [
        "2-point function",
        "4-point function",
        "6-point function",
    ]
    drawn = lines(figure.axes[1])
    np.testing.assert_allclose(drawn["exact"].get_ydata(), [5 / 3, 5 / 30])
    plain = mean_deviation(everything[2], 4)
    assert drawn["plain moments"].get_ydata()[0] == plain.value
    background = drawn["background of the plain moments (1 sd)"]
    assert background.get_ydata()[0] == plain.background
    assert "conditional estimator (1 sd)" in legend_texts(figure)
    # The exact 2-pt deviation is zero: no line on a logarithmic axis, but a note.
    assert "exact" not in lines(figure.axes[0])
    assert "zero at every width" in figure.axes[0].texts[0].get_text()


def test_heavy_tailed_points_are_crossed_out():
    figure = plots.plot_deviation([measured(2, "moments")])
    assert measured(2, "moments").heavy_tailed(6).any()
    assert "heavy tail: not to be trusted" in legend_texts(figure)


def test_deviation_of_nothing_is_refused():
    with pytest.raises(nnft.SpecError, match="no correlators to plot"):
        plots.plot_deviation([])


def test_labelled_deviations_are_a_line_a_label_and_the_zeros_are_said():
    erf = nnft.network("erf-net", width=10, input_dim=1)
    other = nnft.exact_correlators(erf, X, orders=(2, 4))
    figure = plots.plot_deviation({"a": [exact(30), exact(3)], "$b": [other]})
    assert legend_texts(figure) == ["a", r"\$b"]
    two, four, six = figure.axes
    assert [text.get_text() for text in two.texts] == ["zero, to rounding"]
    drawn = [container.lines[0] for container in four.containers]
    expected = [mean_deviation(exact(w), 4).value for w in (3, 30)]
    np.testing.assert_allclose(drawn[0].get_xydata(), np.c_[[3, 30], expected])
    assert drawn[1].get_ydata()[0] == mean_deviation(other, 4).value
    assert len(six.containers) == 1
    with pytest.raises(nnft.SpecError, match="no correlators to plot"):
        plots.plot_deviation({"a": []})


def test_labelled_laws_are_told_by_their_labels():
    laws = nnft.falloff([exact(w) for w in (3, 30)])
    texts = legend_texts(plots.plot_falloff({"mine": laws, "yours": laws}))
    assert [text.partition(":")[0] for text in texts] == ["mine", "yours"]


def test_couplings_of_some_operators_alone_are_drawn():
    data = nnft.exact_correlators(
        nnft.network("erf-net", width=20, input_dim=1), [0.4, 1.0, 2.0]
    )
    two = fit(["lambda_0", "lambda_2"], [1.0, 2.0], data)
    figure = plots.plot_couplings({"a": two}, operators=["lambda_2"])
    assert len(figure.axes[0].containers) == 1
    assert not any("lambda_0" in text for text in legend_texts(figure))
    with pytest.raises(nnft.SpecError, match=r"`operators` is \['kappa'\]; expected"):
        plots.plot_couplings({"a": two}, operators=["kappa"])
    with pytest.raises(nnft.SpecError, match="`operators` is 'lambda_2'"):
        plots.plot_couplings(two, operators="lambda_2")


def test_couplings_show_size_sign_and_running():
    found = fit(["lambda_0"], [10.0, 100.0, 1000.0])
    figure = plots.plot_couplings(found)
    assert r"$\lambda_0$, negative" in legend_texts(figure)
    upper, lower = figure.axes
    points = upper.containers[0].lines[0].get_ydata()
    expected = 12.5 / 20 / np.array([10.0, 100.0, 1000.0]) ** 5  # theory.md §4
    np.testing.assert_allclose(points, expected, rtol=1e-3)
    theory = lines(lower)[r"$\lambda_0$ alone, theory"]
    np.testing.assert_allclose(theory.get_ydata(), -5, rtol=1e-6)
    low, high = lower.get_ylim()
    assert high - low >= 0.2


@pytest.mark.slow
def test_couplings_without_a_sign_show_an_upper_end_alone():
    # With so few noisy networks two operators cannot be told apart.
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
    data = nnft.measure_correlators(net, X, num_draws=300, key=jax.random.key(0))
    found = fit(["lambda_0", "lambda_2"], [10.0, 100.0], data)
    texts = legend_texts(plots.plot_couplings(found))
    assert r"$\lambda_2$, sign undetermined: upper end of $|g|$" in texts
    assert not any("from the fits" in text for text in texts)


def gauss_fit(cutoffs):
    net = nnft.network("gauss-net", width=1000, input_dim=1, bias_std=1.0)
    data = nnft.exact_correlators(net, [0.002, 0.01], orders=(2, 4, 6))
    return fit(["lambda_0"], cutoffs, data)


def test_infinite_cutoff_alone_has_no_running():
    figure = plots.plot_couplings(gauss_fit([np.inf]))
    (axis,) = figure.axes
    assert [t.get_text() for t in axis.get_xticklabels()] == [r"$\infty$"]
    plots.png(figure)


def test_infinite_cutoff_stands_beyond_the_finite_ones():
    figure = plots.plot_couplings(gauss_fit([5.0, 10.0, np.inf]))
    x = figure.axes[0].containers[0].lines[0].get_xdata()
    np.testing.assert_allclose(x, [5, 10, 100], rtol=1e-6)
    assert len(figure.axes) == 2
    plots.png(figure)


def test_prediction_is_relative_to_the_measurement():
    data = exact()
    figure = plots.plot_prediction(fit(["lambda_0"], [10.0, 100.0], data), data)
    assert [a.get_title("left") for a in figure.axes] == [
        r"$\Lambda = 10$",
        r"$\Lambda = 100$",
    ]
    drawn = lines(figure.axes[0])
    # Exact: G6/G6_GP = 1.86; first order in the couplings: 1 + 15/20 (theory.md §4).
    np.testing.assert_allclose(
        drawn["Gaussian process"].get_ydata(), 1 / 1.86 - 1, rtol=1e-6
    )
    # The median of draws with truncation is that of 200 draws: 0.1 is four errors.
    points = drawn["predicted, median"].get_ydata()
    np.testing.assert_allclose(points, 1.75 / 1.86 - 1, atol=0.1)
    low, high = drawn_band(figure.axes[0])
    assert (low < 0).all()
    assert (high > 0).all()
    assert (high - low > 0.05).all()


def drawn_band(axis):
    """Lower and upper edge of the prediction's interval."""
    (band,) = (c for c in axis.collections if "predicted" in c.get_label())
    (path,) = band.get_paths()
    place, height = path.vertices.T
    at = [height[place == x] for x in np.unique(place)]
    return np.array([h.min() for h in at]), np.array([h.max() for h in at])


def test_prediction_needs_the_order():
    data = exact(orders=(2, 4))
    with pytest.raises(nnft.SpecError, match="order 6 is not among the orders"):
        plots.plot_prediction(fit(["lambda_0"], [10.0], data), data)


def test_few_cutoffs_are_chosen_from_many():
    assert chosen_cutoffs([3.0, 1.0]) == (1.0, 3.0)
    many = tuple(float(c) for c in range(1, 22))
    assert chosen_cutoffs(many) == (1.0, 8.0, 14.0, 21.0)


@pytest.mark.parametrize(
    ("cutoff", "text"),
    [
        (7.0, "7"),
        (20.5, "20.5"),
        (1e5, "10^{5}"),
        (2.5e7, r"2.5\times 10^{7}"),
        (np.inf, r"\infty"),
    ],
)
def test_cutoffs_are_written_in_mathtext(cutoff: float, text: str):
    assert cutoff_label(cutoff) == text


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_four_labels_have_room_below_few_panels(panels: int):
    data = measured(8, "conditional")
    found = fit(["lambda_0"], [10.0, 100.0, 1000.0][:panels], data)
    figure = plots.plot_prediction(found, data)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 4
    assert figure.bbox.x0 <= legend.get_window_extent().x0
    assert legend.get_window_extent().x1 <= figure.bbox.x1


def test_labels_of_widths_that_are_close_have_room():
    figure = plots.plot_deviation([measured(width, "conditional") for width in (8, 16)])
    figure.draw_without_rendering()
    labels = [t.get_text() for t in figure.axes[-1].get_xticklabels(which="both")]
    assert [label for label in labels if label] == ["8", "16"]


def test_png_is_a_picture_and_the_same_each_time():
    first, second = (plots.png(plots.plot_deviation([exact(3)])) for _ in range(2))
    assert first == second
    picture = matplotlib.image.imread(io.BytesIO(first))
    assert picture.shape[1] > 1500


def test_drawing_changes_no_global_setting():
    before = dict(matplotlib.rcParams)
    plots.png(plots.plot_deviation([exact(3)]))
    assert dict(matplotlib.rcParams) == before


def test_files_are_of_their_kind_and_the_same_each_time():
    for write, begins in ((plots.svg, b"<?xml"), (plots.pdf, b"%PDF")):
        first, second = (write(plots.plot_deviation([exact(3)])) for _ in range(2))
        assert first == second
        assert first.startswith(begins)
    with pytest.raises(nnft.SpecError, match="`figure` is 'a'; expected a matplotlib"):
        plots.svg("a")


def test_what_the_user_has_set_is_kept():
    # Of the style, each of these is another.
    own = {
        "axes.prop_cycle": matplotlib.cycler(color=["red", "lime"]),
        "font.size": 7.0,
        "figure.figsize": (4.0, 9.0),
        "axes.titlelocation": "right",
        "savefig.dpi": 50.0,
    }
    with matplotlib.rc_context(own):
        figure = plots.plot_deviation([measured(w, "conditional") for w in (8, 16)])
        picture = matplotlib.image.imread(io.BytesIO(plots.png(figure)))
    assert picture.shape[:2] == (450, 200)
    assert tuple(figure.get_size_inches()) == (4, 9)
    axis = figure.axes[0]
    assert axis.get_title("right") == "2-point function"
    assert axis.xaxis.label.get_fontsize() == 7
    assert axis.get_lines()[0].get_color() == "red"


def test_a_dark_background_leaves_lines_to_be_seen():
    with style.context("dark_background"):
        figure = plots.plot_deviation([exact(w) for w in (3, 30)])
    assert lines(figure.axes[1])["exact"].get_color() == "white"


def test_axes_of_the_user_are_drawn_on():
    whole = matplotlib.figure.Figure()
    axes = whole.subplots(2, 2)
    drawn = plots.plot_deviation([exact(w) for w in (3, 30)], ax=axes.ravel()[:3])
    assert drawn is whole
    assert [bool(axis.has_data()) for axis in axes.ravel()] == [
        False,
        True,
        True,
        False,
    ]
    assert not whole.legends  # which would cover what else is in the figure
    assert all(axis.get_xlabel() == "width $N$" for axis in axes.ravel()[:3])


def test_other_axes_than_panels_are_refused():
    axes = matplotlib.figure.Figure().subplots(2)
    with pytest.raises(nnft.SpecError, match="expected 3 Axes, one for each panel"):
        plots.plot_deviation([exact()], ax=axes)
    other = matplotlib.figure.Figure().subplots()
    with pytest.raises(nnft.SpecError, match="several figures"):
        plots.plot_deviation([exact()], ax=[*axes, other])
    with pytest.raises(nnft.SpecError, match="`ax` is 'here'; expected 3 Axes"):
        plots.plot_deviation([exact()], ax="here")


def test_other_things_than_a_figure_is_of_are_refused():
    with pytest.raises(nnft.SpecError, match=r"expected nnft_ppl\.Correlators, one or"):
        plots.plot_deviation(3)
    with pytest.raises(nnft.SpecError, match=r"`fits` holds 1; expected nnft_ppl"):
        plots.plot_couplings([1])
    with pytest.raises(nnft.SpecError, match="no fits to plot"):
        plots.plot_couplings({})


def test_several_fits_share_a_figure_and_are_told_apart():
    found = [fit(["lambda_0"], [10.0, 100.0], exact(width)) for width in (20, 40)]
    figure = plots.plot_couplings(found)
    texts = legend_texts(figure)
    assert r"relu-net, $d=1$, $N=20$: $\lambda_0$, negative" in texts
    assert r"relu-net, $d=1$, $N=40$: $\lambda_0$, negative" in texts
    first, second = (c.lines[0].get_ydata() for c in figure.axes[0].containers)
    np.testing.assert_allclose(first / second, 2, rtol=1e-3)
    named = plots.plot_couplings({"mine": found[0], "yours": found[1]})
    assert r"mine: $\lambda_0$, negative" in legend_texts(named)


def test_intervals_of_a_coupling_that_does_not_run_are_seen():
    found = gauss_fit([5.0, 10.0, np.inf])  # its integral converges
    axis = plots.plot_couplings(found).axes[0]
    low, high = axis.get_ylim()
    assert axis.get_yscale() == "linear"
    assert high < 0  # the sign is kept
    draws = found.dimensionless[..., 0] / found.likelihood.scale[:, 0]
    lower, upper = np.percentile(draws, [5, 95], axis=(0, 1))
    assert (upper - lower).max() > 0.3 * (high - low)


def test_what_new_figures_are_of_is_checked():
    for draw, expected in (
        (plots.plot_falloff, r"expected nnft_ppl\.Falloff"),
        (plots.plot_ranks, "expected what nnft_ppl.simulation_based_calibration"),
        (plots.plot_coverage, "expected what nnft_ppl.simulation_based_calibration"),
        (plots.plot_comparison, "expected what nnft_ppl.compare_actions returns"),
        (plots.plot_draws, r"expected nnft_ppl\.Ensemble"),
        (plots.plot_pulls, r"expected nnft_ppl\.CouplingFit"),
        (plots.plot_forest, r"expected nnft_ppl\.CouplingFit"),
    ):
        with pytest.raises(nnft.SpecError, match=expected):
            draw(3)
    with pytest.raises(nnft.SpecError, match="have no sampling noise"):
        plots.plot_correlation(exact())
    found = fit(["lambda_0"], [10.0, 100.0])
    with pytest.raises(nnft.SpecError, match=r"`cutoff` is not given; expected one"):
        plots.plot_pulls(found)


def test_ranks_and_coverage_are_those_of_the_simulations():
    ranks = np.random.default_rng(0).uniform(size=200)
    tree = xr.DataTree.from_dict(
        {"prior_sbc": xr.Dataset({"c": (("chain", "draw"), ranks[None])})}
    )
    curve = lines(plots.plot_ranks(tree).axes[0])["c"]
    at = 0.3
    height = np.interp(at, curve.get_xdata(), curve.get_ydata())
    assert height == pytest.approx((ranks <= at).mean() - at, abs=0.006)
    curve = lines(plots.plot_coverage(tree).axes[0])["c"]
    inside = np.interp(0.9, curve.get_xdata(), curve.get_ydata())
    assert inside == pytest.approx((abs(ranks - 0.5) <= 0.45).mean(), abs=0.006)
