"""Couplings whose nature is known, and networks that declare what is not so."""

import dataclasses
import math

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.diagnostics.naturalness import kernel_change, naturalness
from nnft_ppl.eft.integrals import first_order

PAPER_X = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
WIDE_X = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])


def exact(name, width, x, bias_std):
    net = nnft.network(name, width=width, input_dim=1, bias_std=bias_std)
    return nnft.exact_correlators(net, x, (2, 4))


def test_the_homogeneous_net_has_one_constant_that_nothing_demands():
    found = naturalness(exact("relu-net", 20, PAPER_X, 0.0), 100.0)
    assert found.answer == "accidental"
    # λ_0 = −12.5/(N Λ⁵) for every tuple (theory.md §4)
    np.testing.assert_allclose(
        found.local["coupling"], -12.5 / (20 * 100.0**5), rtol=1e-9
    )
    assert len(found.local) == 126
    assert found.spread < 1e-9
    assert found.share < 1e-8
    # K_W = x x'/2: moved by the extent 1.2, 2.4²/2 against 1.2²/2.
    assert found.change_near == pytest.approx(3.0, rel=1e-9)
    assert "though no translation invariance of K_W demands it" in found.sentence


def test_a_translation_invariant_kernel_demands_the_constant():
    found = naturalness(exact("gauss-net", 1000, 0.01 * PAPER_X, 1.0), math.inf)
    assert found.answer == "demanded"
    assert found.is_declared
    assert found.change_in_box < 1e-12
    assert found.local["coupling"].mean() == pytest.approx(-5.346e-3, rel=2e-4)
    assert found.spread == pytest.approx(1e-4, rel=0.3)
    assert 0 < found.share < 1e-3
    assert "as the translation invariance of K_W demands" in found.sentence


def test_a_kernel_invariant_near_the_inputs_alone_demands_nothing():
    found = naturalness(exact("erf-net", 5, 0.01 * PAPER_X, 1.0), 100.0)
    assert found.answer == "accidental"
    assert found.change_near < 1e-3 < 0.1 < found.change_in_box
    assert found.local["coupling"].mean() == pytest.approx(-0.03709, rel=2e-4)
    # Inputs so close that moved among themselves they are the same to rounding.
    closer = naturalness(exact("erf-net", 5, 1e-4 * PAPER_X, 1.0), 100.0)
    assert closer.answer == "accidental"
    assert closer.change_near < 1e-6
    assert closer.change_in_box == pytest.approx(found.change_in_box, rel=1e-2)


def test_inputs_on_both_sides_of_the_origin_need_a_function():
    found = naturalness(exact("erf-net", 5, WIDE_X, 1.0), 100.0)
    assert found.answer == "function"
    assert found.discrepancy > 0.5
    assert found.share > 0.5
    left = found.comparison.set_index("action")["discrepancy"]
    assert left["lambda_0 + lambda_2 + lambda_4"] < 0.3 * left["lambda_0"]
    assert not found.is_enough
    assert "a function of y" in found.sentence
    assert "none of the polynomials describes the network" in found.sentence


def test_the_share_is_that_of_two_least_squares_fits():
    data = exact("erf-net", 5, WIDE_X, 1.0)
    # Predictions are those of the posterior mean, which this prior does not hold.
    found = naturalness(data, 10.0, prior=nnft.Prior(natural_size=1e4, spread=0.0))
    # All entries are equally uncertain in units of Π √K_W.
    size = np.sqrt(np.diag(data.network.propagator(WIDE_X)))[data.entries(4)].prod(1)
    names = max(found.comparison["action"], key=len).split(" + ")
    columns = np.stack(
        [
            first_order(nnft.operators()[name], data.network, WIDE_X, [10.0]).values[0]
            for name in names
        ],
        axis=1,
    )
    columns /= np.abs(columns).max(axis=0)
    predictions = []
    for number in (1, len(names)):
        part = columns[:, :number]
        solution = np.linalg.lstsq(part / size[:, None], data.connected(4) / size)[0]
        predictions.append(part @ solution)
    change = np.linalg.norm(predictions[1] - predictions[0])
    # The posterior mean is of 4000 draws.
    assert found.share == pytest.approx(
        change / np.linalg.norm(predictions[1]), rel=0.03
    )


def test_a_symmetry_demands_a_constant_that_is_not_enough():
    found = naturalness(exact("gauss-net", 1000, WIDE_X, 1.0), math.inf)
    assert found.answer == "insufficient"
    assert "other operators are missing" in found.sentence


def test_a_declared_symmetry_is_measured_and_not_believed():
    data = exact("erf-net", 5, 0.01 * PAPER_X, 1.0)
    network = data.network
    boastful = dataclasses.replace(
        network,
        architecture=dataclasses.replace(
            network.architecture, symmetries=frozenset({"translation", "sign"})
        ),
    )
    found = naturalness(dataclasses.replace(data, network=boastful), 100.0)
    assert found.answer == "accidental"
    assert found.is_declared
    assert "that its kernel does not have" in found.sentence


def test_noisy_data_leave_the_answer_open():
    net = nnft.network("erf-net", width=100, input_dim=1, bias_std=1.0)
    noisy = nnft.measure_correlators(
        net,
        PAPER_X,
        (2, 4),
        num_draws=2000,
        key=jax.random.key(0),
        estimator="wick",
    )
    found = naturalness(noisy, 10.0)
    assert found.answer == "undetermined"
    assert (found.local["error"] > 0).all()


def test_the_change_of_the_kernel_is_along_every_axis():
    net = nnft.network("gauss-net", width=10, input_dim=2, bias_std=1.0)
    x = np.array([[0.0, 0.5], [1.0, 0.0]])
    assert kernel_change(net, x, np.array([0.1, 1.0])) < 1e-14
    linear = nnft.network("relu-net", width=10, input_dim=2)
    # One input on the second axis: moving it along the first changes |x|² by t².
    along = np.array([[0.0, 1.0]])
    assert kernel_change(linear, along, np.array([1.0])) == pytest.approx(3.0)


def test_what_are_no_correlators_is_refused():
    with pytest.raises(nnft.SpecError, match=r"expected nnft_ppl\.Correlators"):
        naturalness(PAPER_X, 10.0)
