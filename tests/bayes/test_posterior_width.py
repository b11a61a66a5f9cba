import jax
import numpy as np
import pytest
from oracles import finite_width_posterior as oracle

import nnft_ppl as nnft
from nnft_ppl.bayes.posterior_width import MEAN, VARIATION

KEY = jax.random.key(5)
X = np.array([0.3, 0.7, 1.1])
LINEAR = nnft.network(
    "mlp", width=7, input_dim=1, depth=1, activation="identity", weight_std=1.0
)


def wide_enough(slope, noise_std, tolerance, total_variation, x_new=None, **options):
    return nnft.posterior_width(
        LINEAR,
        X,
        slope * X,
        x_new,
        noise_std=noise_std,
        tolerance=tolerance,
        total_variation=total_variation,
        **{"key": KEY, **options},
    )


def known(width, slope, noise_std):
    """The distances, exact."""
    return oracle.linear_distances(
        X, slope * X, width=width, weight_std=1.0, noise_std=noise_std
    )


def smallest(slope, noise_std, tolerance, total_variation):
    """By trying all widths from a large one down."""
    width = 60
    while width >= 1:
        mean, variation = known(width, slope, noise_std)
        if mean > tolerance or variation > total_variation:
            break
        width -= 1
    return width + 1


def agrees(found, slope, noise_std):
    """Each row of the table is of an exact posterior."""
    for width, row in found.table.iterrows():
        mean, variation = known(width, slope, noise_std)
        assert abs(row["mean"] - mean) < 4 * row["mean_error"] + 1e-6
        # Of the intervals, which lose less than one per cent.
        assert abs(row["variation"] - variation) < (
            4 * row["variation_error"] + 0.01 * variation
        )


@pytest.mark.parametrize(
    ("slope", "noise_std", "tolerance", "total_variation", "binds"),
    [(1.3, 0.5, 0.0495, 0.5, MEAN), (0.0, 0.5, 5.0, 0.031, VARIATION)],
    ids=["means", "variation"],
)
def test_the_smallest_width_is_that_of_trying_all(
    slope, noise_std, tolerance, total_variation, binds
):
    given = slope, noise_std, tolerance, total_variation
    found = wide_enough(*given)
    expected = smallest(*given)
    assert found.is_decided
    assert found.interval == (expected, expected)
    assert found.width == expected
    assert found.binds == binds
    assert f"from width {expected} on; at {expected - 1} it is not" in found.message
    assert binds in found.message
    assert {expected - 1, expected} <= set(found.table.index)
    assert found.table.index.max() >= 2 * expected
    assert (found.num_data, found.num_new) == (3, 3)
    agrees(found, slope, noise_std)


def test_without_data_it_is_the_excess_of_the_fourth_moment():
    # f = √s x z with s = χ²/N: ½ E|6/N · He₄(z)/24| = 0.350075/N to leading order.
    found = wide_enough(1.0, 1000.0, 1.0, 0.02, [0.5])
    low, high = found.interval
    assert low <= smallest(1.0, 1000.0, 1.0, 0.02) <= high
    assert low > 0.95 * 0.350075 / 0.02
    assert high < 1.05 * 0.350075 / 0.02
    agrees(found, 1.0, 1000.0)


def test_a_single_unit_may_be_enough():
    found = wide_enough(0.0, 0.5, 0.1, 0.3, num_draws=20_000)
    assert found.interval == (1, 1)
    assert found.binds is None
    assert found.message.endswith("at 3 new inputs from width 1 on")
    agrees(found, 0.0, 0.5)


def test_few_networks_are_said_not_to_tell():
    found = wide_enough(1.3, 0.5, 0.0495, 0.5, num_draws=2000)
    low, high = found.interval
    assert low < 9 < high
    assert not found.is_decided
    assert f"undecided from {low} to {high - 1}, for want of networks" in repr(found)
    assert (found.table["num_draws"] <= 2000).all()
    agrees(found, 1.3, 0.5)


def test_networks_are_not_drawn_beyond_what_a_verdict_takes():
    told = []
    found = wide_enough(1.3, 0.5, 0.0495, 0.5, progress=told.append)
    assert found.table["num_draws"].min() < 0.2 * found.table["num_draws"].max()
    assert {p.relative_error for p in told} == {None}


def test_no_width_may_be_enough():
    with pytest.raises(
        nnft.UnavailableError, match=r"up to 40 .* about 1\d\d would be"
    ):
        wide_enough(1.3, 0.5, 0.004, 0.5, max_width=40, num_draws=20_000)


def test_weights_that_fail_are_no_answer():
    x = np.linspace(-2, 2, 12)
    net = nnft.network("erf-net", width=5, input_dim=1, weight_std=2.0, bias_std=1.0)
    with pytest.raises(
        nnft.UnavailableError, match=r"the weights of 1,000 networks fa"
    ):
        nnft.posterior_width(
            net,
            x,
            np.sin(2 * x),
            noise_std=0.05,
            num_draws=1000,
            max_width=8,
            key=KEY,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_std": 0}, r"`noise_std` is 0; expected a finite number > 0"),
        ({"tolerance": 0}, r"`tolerance` is 0; expected a number > 0"),
        ({"total_variation": 1.0}, r"`total_variation` is 1.0; .* between 0 and 1"),
        ({"num_draws": 500}, r"`num_draws` is 500; expected a whole number from 1000"),
        ({"max_width": 0}, r"`max_width` is 0"),
        ({"x_new": [0.0, 1.0]}, r"is certain at `x_new`\[0\]: leave that input out"),
        ({"y": [1.0]}, r"`y` has shape \(1,\)"),
    ],
)
def test_bad_arguments(options, message):
    given = {"x": X, "y": X, "noise_std": 0.3, "key": KEY, **options}
    with pytest.raises(nnft.SpecError, match=message):
        nnft.posterior_width(LINEAR, **given)


def test_a_network_without_a_limit_is_refused_with_advice():
    correlated = nnft.network("correlated-net", width=5, input_dim=1)
    measured = nnft.measured_kernel(LINEAR, 1200, key=KEY)
    laplace = nnft.network("mlp", width=4, input_dim=1, weight_law="laplace")
    for net, message in (
        (correlated, "limit of infinite width to be near: the output weights share"),
        (laplace, r"normal weights.*net\.prior\(\)"),
        (measured, "no limit of infinite width .*at a width and at twice that width"),
    ):
        with pytest.raises(nnft.UnavailableError, match=message):
            nnft.posterior_width(net, X, X, noise_std=0.3, key=KEY)
