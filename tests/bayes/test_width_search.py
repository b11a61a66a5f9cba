import numpy as np
import pytest

from nnft_ppl.bayes.width_search import Trial, next_width, settled


def searched(ratio, reach=0.0, max_width=10_000):
    """Widths tried, for a ratio known that well."""
    trials = {}
    while (width := next_width(trials, max_width)) is not None:
        assert width not in trials
        assert 1 <= width <= max_width
        value = ratio(width)
        enough = "undecided"
        if np.isfinite(value) and abs(value - 1) > reach:
            enough = "yes" if value < 1 else "no"
        trials[width] = Trial(enough, value, reach if np.isfinite(value) else np.inf)
    return trials


def answer(trials):
    return settled({width: trial.enough for width, trial in trials.items()})


@pytest.mark.parametrize("power", [1.0, 0.7, 2.0])
@pytest.mark.parametrize("crossing", [0.4, 1.5, 7.3, 63.5, 64.5, 400.2, 4321.5])
def test_the_smallest_width_is_found_in_a_few_steps(crossing, power):
    trials = searched(lambda width: (crossing / width) ** power)
    expected = int(np.ceil(crossing))
    assert answer(trials) == (expected - 1, expected)
    assert 2 * expected in trials or max(trials) > 2 * expected
    assert len(trials) <= 9


def test_where_errors_do_not_tell_the_answer_is_a_width_that_is_enough():
    trials = searched(lambda width: 300.5 / width, reach=0.05)
    low, high = answer(trials)
    assert 300.5 / 1.2 < low < 300.5 / 1.05
    assert 300.5 / 0.95 < high < 300.5 / 0.85
    assert len(trials) <= 9
    undecided = [w for w, trial in trials.items() if trial.enough == "undecided"]
    assert all(low < width < high for width in undecided)


def test_a_window_of_widths_that_happen_to_be_near_is_no_answer():
    # The mean crosses that of the Gaussian process at the width tried first.
    def ratio(width):
        return abs(384 / width - 64 * 384 / width**2)

    assert ratio(64) == 0
    assert answer(searched(ratio)) == (302, 303)
    assert ratio(302) > 1 > ratio(303)


def test_weights_that_fail_at_narrow_networks_leave_the_rest():
    trials = searched(lambda width: np.nan if width < 150 else 100 / width)
    low, high = answer(trials)
    assert low == 0
    assert 150 <= high < 170
    # Not that of widths where they fail all the way.
    assert answer(searched(lambda width: np.nan)) == (0, None)


def test_the_search_ends_at_the_largest_width():
    trials = searched(lambda width: 1e6 / width, max_width=500)
    assert answer(trials) == (500, None)
    assert len(trials) == 2
    trials = searched(lambda width: 400.5 / width, max_width=500)
    assert answer(trials) == (400, 401)
    assert max(trials) == 500
