from collections import Counter
from itertools import pairwise

import pytest
from oracles.effective_theory import contraction_counts, gaussian_average

from nnft_ppl import Operator
from nnft_ppl.eft.diagrams import first_order_diagrams
from nnft_ppl.eft.operators import BUILT_IN_OPERATORS, operator


def with_fields(*fields):
    return Operator(name="test", symbol="t", fields=fields)


@pytest.mark.parametrize(("name", "factor"), [("lambda_0", 24), ("kappa", 720)])
def test_a_local_operator_has_one_diagram_with_the_paper_s_factor(name, factor):
    (diagram,) = first_order_diagrams(operator(name))
    assert diagram.legs == (tuple(range(operator(name).num_fields)),)
    assert diagram.multiplicity == factor


def test_the_squared_mass_operator_gives_eight_for_each_of_three_splits():
    diagrams = first_order_diagrams(operator("lambda_nl"), symmetric_weight=True)
    assert {d.legs for d in diagrams} == {
        ((0, 1), (2, 3)),
        ((0, 2), (1, 3)),
        ((0, 3), (1, 2)),
    }
    assert [d.multiplicity for d in diagrams] == [8, 8, 8]


def test_without_symmetry_of_the_weight_the_points_are_kept_apart():
    diagrams = first_order_diagrams(operator("lambda_nl"))
    assert len(diagrams) == 6
    assert {d.multiplicity for d in diagrams} == {4}


@pytest.mark.parametrize(
    "fields",
    [o.fields for o in BUILT_IN_OPERATORS.values()]
    + [(0, 0), (0, 1), (0, 1, 0, 1), (1, 0, 0, 0), (0, 0, 1, 1, 1, 1), (0, 1, 2, 1)],
)
def test_diagrams_are_the_wick_pairings_that_connect_every_leg(fields):
    expected = contraction_counts(fields)
    diagrams = first_order_diagrams(with_fields(*fields))
    assert Counter({d.legs: d.multiplicity for d in diagrams}) == expected


def test_merging_keeps_points_with_unequal_numbers_of_fields_apart():
    plain = first_order_diagrams(with_fields(0, 1, 1, 1))
    assert first_order_diagrams(with_fields(0, 1, 1, 1), symmetric_weight=True) == plain
    assert all(len(d.legs[0]) == 1 for d in plain)


def test_diagrams_come_sorted():
    legs = [d.legs for d in first_order_diagrams(with_fields(0, 0, 1, 1))]
    assert all(a < b for a, b in pairwise(legs))


@pytest.mark.parametrize("variance", [0.7, 1.9])
@pytest.mark.parametrize(("name", "order"), [("lambda_0", 4), ("kappa", 6)])
def test_factors_agree_with_the_zero_dimensional_integral(name, order, variance):
    """∂κ_k/∂g at g = 0 of exp(−f²/2K − g f^k), by quadrature of the moments."""
    mean = {k: gaussian_average(lambda f, k=k: f**k, variance) for k in range(2, 13, 2)}
    slope = {k: -(mean[k + order] - mean[k] * mean[order]) for k in (2, 4, 6)}
    # κ4 = m4 − 3 m2²; κ6 = m6 − 15 m4 m2 + 30 m2³
    cumulant = {
        4: slope[4] - 6 * mean[2] * slope[2],
        6: slope[6]
        - 15 * (slope[4] * mean[2] + mean[4] * slope[2])
        + 90 * mean[2] ** 2 * slope[2],
    }
    (diagram,) = first_order_diagrams(operator(name))
    assert cumulant[order] == pytest.approx(
        -diagram.multiplicity * variance**order, rel=1e-8
    )
