import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.bayes import data
from nnft_ppl.bayes.data import check_interpolation, check_memory, checked_data

NET = nnft.network("erf-net", width=4, input_dim=2)
X = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])


def test_equal_inputs_are_one_point():
    given = checked_data(NET, X[[0, 1, 0]], [1.0, 2.0, 3.0], X[[1, 2]])
    assert len(given.points) == 3
    np.testing.assert_array_equal(given.points[given.rows], X[[0, 1, 0]])
    np.testing.assert_array_equal(given.points[given.new_rows], X[[1, 2]])
    assert not given.has_output_axis


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0, 2.0], r"`y` has shape \(2,\); expected \(3,\) or \(3, 1\)"),
        (np.ones((3, 2)), r"`y` has shape \(3, 2\)"),
        ([1.0, np.nan, 2.0], r"`y` has \[nan\] at input 1; expected finite"),
        (["a", "b", "c"], r"`y` are no array of real numbers"),
    ],
)
def test_targets_that_do_not_fit(y, message):
    with pytest.raises(nnft.SpecError, match=message):
        checked_data(NET, X, y, X)


@pytest.mark.parametrize("which", ["x", "x_new"])
def test_inputs_of_another_dimension(which):
    given = {"x": X, "x_new": X, which: np.ones((3, 5))}
    with pytest.raises(nnft.SpecError, match=r"inputs have shape \(3, 5\)"):
        checked_data(NET, given["x"], np.ones(3), given["x_new"])


def test_targets_of_several_outputs_want_their_axis():
    net = nnft.network("erf-net", width=4, input_dim=2, output_dim=3)
    with pytest.raises(nnft.SpecError, match=r"expected \(3, 3\), as"):
        checked_data(net, X, np.ones(3), X)


def test_no_noise_and_a_repeated_input():
    given = checked_data(NET, X[[0, 1, 0]], [1.0, 2.0, 3.0], X)
    with pytest.raises(nnft.SpecError, match=r"input \[0.0, 1.0\] is repeated"):
        check_interpolation(given, 100)


def test_more_data_than_memory_holds(monkeypatch):
    given = checked_data(NET, X, np.ones(3), X)
    check_memory(given, 4)
    monkeypatch.setattr(data, "bytes_per_network", lambda *_: 10**18)
    with pytest.raises(nnft.SpecError, match=r"take 1e\+09 GB for one Cholesky"):
        check_memory(given, 4)


def test_more_networks_than_memory_holds_the_weights_of():
    net = nnft.network("erf-net", width=4, input_dim=1)
    with pytest.raises(nnft.SpecError, match=r"take 8e\+04 GB, and 3.2e\+05"):
        nnft.posterior(
            net,
            [0.5],
            [0.1],
            [0.7],
            noise_std=0.3,
            num_draws=10**13,
            key=jax.random.key(0),
        )
