"""What training did, against numbers that are known and NumPy's own."""

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

import nnft_ppl as nnft
from nnft_ppl.correlators.noise_free_square import noise_free_square
from nnft_ppl.plots import plot_training
from nnft_ppl.training.measures import COLUMNS, measured_sizes
from nnft_ppl.training.plan import Plan
from nnft_ppl.training.power_of_width import power_of_width
from nnft_ppl.training.prediction import predict
from nnft_ppl.training.result import TrainedEnsemble
from nnft_ppl.training.verdict import TrainingByWidth

KEY = jax.random.key(5)
X, Y, X_NEW = np.array([-1.0, 0.0, 1.0]), np.array([0.5, -0.2, 0.8]), [-1.5, 0.5]
WIDTHS, TIMES, DRAWS = [4, 16], [0, 40], 600


@pytest.fixture(scope="module")
def result():
    return nnft.training_by_width(
        linear(),
        WIDTHS,
        X,
        Y,
        X_NEW,
        times=TIMES,
        num_draws=DRAWS,
        key=KEY,
        method="gradient_descent",
        learning_rate=0.05,
    )


def linear():
    return nnft.network(
        "mlp",
        width=4,
        input_dim=1,
        depth=1,
        activation="identity",
        weight_std=1.0,
        bias_std=0.5,
    )


def test_squares_have_no_noise_in_them_and_the_error_of_their_scatter():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4)) / 10
    truth, covariance = np.array([0.5, -1.0, 0.2, 0.0]), root @ root.T
    found = [
        noise_free_square(truth + root @ rng.normal(size=4), covariance)
        for _ in range(20_000)
    ]
    values, errors = np.array(found).T
    spread = values.std()
    assert abs(values.mean() - truth @ truth) < 4 * spread / 20_000**0.5
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(spread, rel=0.06)


@pytest.mark.parametrize("exponent", [-1.0, -0.5])
def test_powers_are_found_with_widths_that_are_all_noise(exponent):
    """Over 200 noisy sets: no bias, and pulls of at most one."""
    rng, widths = np.random.default_rng(1), np.array([5, 10, 20, 50, 100, 200, 500])
    truth, errors = (2 * widths**exponent) ** 2, np.full(7, 2e-3)
    pulls = []
    for _ in range(200):
        found = power_of_width(widths, truth + errors * rng.normal(size=7), errors)
        pulls.append((found.exponent - exponent) / found.error)
    known = np.isfinite(pulls)
    assert known.mean() > 0.98  # else noise has hidden all widths but one
    assert abs(np.mean(np.array(pulls)[known])) < 0.3
    assert np.std(np.array(pulls)[known]) < 1.2


def test_a_slow_next_order_is_in_the_error_of_a_power():
    """Of (1 + 3/width)/width: the 95 % interval holds −1 in 80 of 100 sets or more."""
    rng, widths = np.random.default_rng(2), np.array([5, 10, 20, 50, 100, 200, 500])
    truth = ((1 + 3 / widths) / widths) ** 2
    errors = np.hypot(0.02 * truth, 1e-5)
    inside = 0
    for _ in range(100):
        found = power_of_width(widths, truth + errors * rng.normal(size=7), errors)
        inside += abs(found.exponent + 1) < 1.96 * found.error
    assert inside >= 80


@pytest.mark.parametrize("slow", [3.0, -3.0])
def test_the_width_of_a_size_knows_the_next_order(slow):
    """Of exp(b/width)/width: no bias, and pulls of at most one, within the widths."""
    rng, widths = np.random.default_rng(3), np.array([5, 10, 20, 50, 100])
    truth = (np.exp(slow / widths) / widths) ** 2
    errors = 0.04 * truth
    expected = brentq(lambda w: np.exp(slow / w) / w - 0.05, 5.0, 100.0)
    pulls = []
    for _ in range(60):
        found = power_of_width(widths, truth + errors * rng.normal(size=5), errors)
        width, error = found.width_below(0.05)
        pulls.append((width - expected) / error)
    assert abs(np.mean(pulls)) < 0.5
    assert np.std(pulls) < 1.2


def test_no_width_is_named_below_those_that_a_power_is_known_for():
    widths = np.array([20, 40, 80])
    truth = (0.1 / widths) ** 2
    assert power_of_width(widths, truth, 0.01 * truth).width_below(0.05) == (20, 0)


def of_powers(exponent, error):
    """A result whose 4-pt function is a power of the width, and no 3-pt function."""
    widths = np.array([50, 100])
    square = np.append(widths ** (2.0 * exponent), [1e-9, 1e-9])
    rows = []
    for name, values in (("four_point", square[:2]), ("three_point", square[2:])):
        for time in (0.0, 1.0):
            for width, value in zip(widths, values, strict=True):
                # 2 log(2) p is a difference of two logarithms.
                off = max(error * np.log(2) * 2**0.5 * value, 1e-6)
                rows.append((name, time, int(width), value, off, False))
    for name in ("mean", "covariance"):
        for time in (0.0, 1.0):
            rows += [(name, time, int(w), np.nan, np.nan, False) for w in widths]
    sizes = pd.DataFrame(rows, columns=list(COLUMNS))
    return TrainingByWidth(
        linear(), "langevin", 0.1, (0.0, 1.0), 3, 2, 100, 0.05, sizes, pd.DataFrame()
    )


@pytest.mark.parametrize(
    ("exponent", "error", "survives", "headline"),
    [
        (-1.0, 0.05, True, "relu-net stays nearly Gaussian in training"),
        (0.0, 0.05, False, "relu-net does not stay nearly Gaussian in training"),
        (-0.3, 0.2, None, "Undecided whether relu-net stays nearly Gaussian"),
        (-0.5, 0.05, None, "the more Gaussian the wider it is after training, too"),
        (-0.6, 0.2, None, "whether as 1/width is undecided"),
    ],
)
def test_not_falling_is_said_where_half_a_power_is_ruled_out(
    exponent, error, survives, headline
):
    found = of_powers(exponent, error)
    assert found.survives is survives
    name = found.network.name
    assert headline.replace("relu-net", name) in found.headline


def test_noise_has_no_power():
    found = power_of_width(np.array([5, 50]), np.array([1.0, 0.1]), np.ones(2))
    assert np.isnan(found.exponent)
    assert found.error == np.inf


def test_distances_from_the_limit_are_those_of_numpy(result):
    """Of linear networks, with the limit and the draws of `train_ensemble`."""
    for width in WIDTHS:
        drawn = nnft.train_ensemble(
            linear().with_width(width),
            X,
            Y,
            X_NEW,
            times=TIMES,
            num_draws=DRAWS,
            key=jax.random.fold_in(KEY, width),
            method="gradient_descent",
            learning_rate=0.05,
        )
        values = drawn.at(40)[..., 0].astype(float)
        off = values.mean(axis=0) - drawn.prediction.mean[-1, :, 0]
        noise = values.var(axis=0, ddof=1).sum() / DRAWS
        expected = (off @ off - noise) / np.trace(drawn.prediction.covariance[-1])
        rows = result.sizes.set_index(["quantity", "time", "width"])
        # Variances from batches of networks and not from networks.
        atol = 0.1 * noise / np.trace(drawn.prediction.covariance[-1])
        found = rows.loc[("mean", 40.0, width), "square"]
        np.testing.assert_allclose(found, expected, atol=atol)


def test_it_is_saved_and_says_so_again(result, tmp_path):
    result.save(tmp_path / "a.nc")
    again = nnft.load(tmp_path / "a.nc")
    assert again.message == result.message
    np.testing.assert_array_equal(again.table["value"], result.table["value"])
    assert set(result.changes["operator"]) == {"cubic", "lambda_0"}
    assert len(plot_training(result).axes) == 5


def test_two_widths_and_times_are_needed():
    given = {"num_draws": 100, "key": KEY}
    with pytest.raises(nnft.SpecError, match="two different ones"):
        nnft.training_by_width(linear(), [4], X, Y, X_NEW, times=TIMES, **given)
    for times in ([0], [1, 2]):
        with pytest.raises(nnft.SpecError, match="expected 0, before training, and"):
            nnft.training_by_width(linear(), WIDTHS, X, Y, X_NEW, times=times, **given)


def test_an_input_that_is_learned_to_the_end_is_refused():
    plan = Plan("gradient_flow", "all", "ntk", (0.0, 1e6))
    x, y, x_new = np.array([[1.0]]), np.array([[0.3]]), np.array([[0.5], [1.0]])
    values, limit = np.zeros((2, 100, 2, 1)), predict(linear(), x, y, x_new, plan)
    trained = TrainedEnsemble(
        linear(), x, y, x_new, plan, (1, 2, 3, 4), values, values[..., 0, 0], limit
    )
    with pytest.raises(nnft.SpecError, match=r"is certain at `x_new`\[1\] after"):
        measured_sizes(trained, KEY)


@pytest.mark.slow
def test_before_training_it_is_the_prior_measured_well():
    """Sizes at time 0 are those of exact correlators, to 2 % and within 4 errors."""
    net = nnft.network("relu-net", width=5, input_dim=1, bias_std=1.0)
    x_new = np.array([-0.7, 0.6])
    found = nnft.training_by_width(
        net,
        [10, 40],
        [-1.0, 1.0],
        [0.3, -0.2],
        x_new,
        times=[0, 1],
        num_draws=20_000,
        key=jax.random.key(4),
        method="gradient_descent",
    )
    four = found.table.query("quantity == 'four_point' and time == 0")
    for width, row in four.set_index("width").iterrows():
        exact = nnft.exact_correlators(net.with_width(width), x_new, (2, 4))
        variance = np.diag(net.kernel(x_new))
        unit = np.array([np.prod(variance[list(e)]) ** 0.5 for e in exact.entries(4)])
        gaussian = exact.moment(4) - exact.connected(4)
        size = np.linalg.norm(exact.connected(4) / unit)
        size /= np.linalg.norm(gaussian / unit)
        assert row["value"] == pytest.approx(size, abs=4 * row["error"])
        assert row["error"] < 0.02 * size
    powers = found.exponents.set_index(["quantity", "time"])
    assert powers.loc[("three_point", 0.0), "note"] == "zero by symmetry"
    assert "is zero by symmetry before" in found.message
