from collections import Counter
from itertools import pairwise
from math import factorial

import pytest
from oracles.effective_theory import (
    contraction_counts,
    cumulant_derivatives,
    hermite_power,
)

from nnft_ppl import Operator, SpecError, UnavailableError
from nnft_ppl.eft.diagrams import first_order_diagrams
from nnft_ppl.eft.operators import BUILT_IN_OPERATORS, operator


def with_fields(*fields, **options):
    return Operator(name="test", symbol="t", fields=fields, **options)


@pytest.mark.parametrize(("name", "factor"), [("lambda_0", 24), ("kappa", 720)])
def test_a_local_operator_has_one_diagram_with_the_paper_s_factor(name, factor):
    fields = operator(name).num_fields
    (diagram,) = first_order_diagrams(operator(name), fields)
    assert diagram.legs == (((0, 0), tuple(range(fields))),)
    assert diagram.multiplicity == factor


def test_the_squared_mass_operator_gives_eight_for_each_of_three_splits():
    splits = Counter()
    for diagram in first_order_diagrams(operator("lambda_nl"), 4):
        splits[frozenset(legs for _, legs in diagram.legs)] += diagram.multiplicity
    assert splits == {
        frozenset({(0, 1), (2, 3)}): 8,
        frozenset({(0, 2), (1, 3)}): 8,
        frozenset({(0, 3), (1, 2)}): 8,
    }


def test_the_squared_quadratic_form_joins_legs_in_pairs_twice():
    """(S_GP)² gives G4c = −2 g Σ_3 K K: each ½ cancels the two ways to hang legs."""
    diagrams = first_order_diagrams(operator("quadratic_squared"), 4)
    assert {d.pairs: d.multiplicity for d in diagrams} == {
        ((0, 1), (2, 3)): 2,
        ((0, 2), (1, 3)): 2,
        ((0, 3), (1, 2)): 2,
    }


@pytest.mark.parametrize(
    "fields",
    [o.fields for o in BUILT_IN_OPERATORS.values() if not o.quadratic_forms]
    + [(0, 0), (0, 1), (0, 1, 0, 1), (1, 0, 0, 0), (0, 0, 1, 1, 1, 1), (0, 1, 2, 1)]
    + [(0, 1, 1), (0, 1, 0, 1, 1), (0,) * 5],
)
@pytest.mark.parametrize("bare", [False, True])
def test_diagrams_are_the_wick_pairings_that_connect_every_leg(fields, bare):
    legs = len(fields) - 2 if bare else len(fields)
    if legs < 1:
        return
    found = Counter()
    for diagram in first_order_diagrams(with_fields(*fields), legs):
        ends = [()] * len(set(fields))
        for (point, _), at in diagram.legs:
            ends[point] = at
        lines = tuple((a[0], b[0]) for a, b in diagram.lines)
        found[tuple(ends), lines] += diagram.multiplicity
    assert found == contraction_counts(fields, legs)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_gradient_sums_over_directions_and_keeps_its_two_legs_apart(dim):
    diagrams = first_order_diagrams(operator("gradient"), 4, dim)
    assert len(diagrams) == 6 * dim
    assert {d.multiplicity for d in diagrams} == {4}
    for diagram in diagrams:
        (plain, _), (differentiated, _) = diagram.legs
        assert plain == (0, 0)
        assert 1 <= differentiated[1] <= dim


def test_multiplicities_sum_to_the_number_of_permutations():
    for given in BUILT_IN_OPERATORS.values():
        if given.quadratic_forms:
            continue
        diagrams = first_order_diagrams(given, given.num_fields)
        assert sum(d.multiplicity for d in diagrams) == factorial(given.num_fields)


def test_diagrams_come_sorted():
    diagrams = first_order_diagrams(with_fields(0, 0, 1, 1), 2)
    assert all(a < b for a, b in pairwise(diagrams))


@pytest.mark.parametrize("variance", [0.7, 1.9])
@pytest.mark.parametrize("name", ["lambda_0", "kappa"])
def test_factors_agree_with_the_zero_dimensional_integral(name, variance):
    """∂κ_k/∂g at g = 0 of exp(−f²/2K − g f^p): every order, tadpoles included."""
    fields = operator(name).num_fields
    slopes = cumulant_derivatives(lambda f: f**fields, variance, order=1)
    for legs in range(2, fields + 1, 2):
        diagrams = first_order_diagrams(operator(name), legs)
        lines = (fields - legs) // 2
        expected = -sum(d.multiplicity for d in diagrams) * variance ** (legs + lines)
        assert slopes[legs] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("variance", [0.7, 1.9])
def test_the_quadratic_form_agrees_with_the_zero_dimensional_integral(variance):
    """S_GP = f²/2K, so (S_GP)² = f⁴/4K²: normal-ordered, κ_4 shifts by −6 g K²."""
    slopes = cumulant_derivatives(
        lambda f: hermite_power(f, 4, variance) / (4 * variance**2), variance, order=1
    )
    total = sum(
        d.multiplicity for d in first_order_diagrams(operator("quadratic_squared"), 4)
    )
    assert slopes[4] == pytest.approx(-total * variance**2, rel=1e-8)


@pytest.mark.parametrize(
    ("name", "legs"),
    [("lambda_0", 6), ("lambda_0", 3), ("lambda_0", 0), ("cubic", 2), ("source", 3)],
)
def test_a_number_of_legs_that_no_contraction_has_is_refused(name, legs):
    with pytest.raises(SpecError, match="fields has no first-order diagram with"):
        first_order_diagrams(operator(name), legs)


def test_a_quadratic_form_has_no_bare_scheme():
    with pytest.raises(UnavailableError, match="infinite number of modes"):
        first_order_diagrams(operator("quadratic_squared"), 2)
