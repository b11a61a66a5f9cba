from collections import Counter
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from oracles.zero_dimension import (
    cumulant_series,
    moment_series,
    plain_power,
    wick_power,
)

import nnft_ppl as nnft
from nnft_ppl import Action, Operator, SpecError, UnavailableError
from nnft_ppl.eft.diagrams import first_order_diagrams
from nnft_ppl.eft.feynman.nodes import OUTSIDE
from nnft_ppl.eft.operators import BUILT_IN_OPERATORS, operator

VARIANCE = Fraction(3, 2)


def power(number, *, points=1):
    """∫ f^number, or the fields dealt out over several points."""
    fields = tuple(sorted(i % points for i in range(number)))
    return Operator(name=f"p{number}{points}", symbol="g", fields=fields)


def total(found, couplings):
    """The sum of all terms where every propagator is K and every integral 1."""
    return sum(
        d.num_assignments
        * d.factor
        * prod(couplings[name] ** n for name, n in d.couplings.items())
        * VARIANCE ** (len(d.lines) - sum(o.quadratic_forms for o in d.operators))
        for d in found
    )


ACTIONS = [
    [power(4)],
    [power(6)],
    [power(8)],
    [power(3), power(4)],
    [power(4), power(6)],
    [power(4), power(4, points=2), power(6, points=3)],
    [operator("lambda_nl"), power(2)],
]


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("scheme", ["renormalised", "bare"])
@pytest.mark.parametrize("operators", ACTIONS, ids=lambda found: len(found))
def test_factors_add_up_to_the_zero_dimensional_integral(operators, scheme, connected):
    action = Action(operators, scheme=scheme)
    couplings = {o.name: Fraction(i + 2, 3 - 2 * i) for i, o in enumerate(operators)}
    form = wick_power if scheme == "renormalised" else plain_power
    degree = max(o.num_fields for o in operators)
    polynomial = [Fraction(0)] * (degree + 1)
    for one in operators:
        for i, c in enumerate(form(one.num_fields, VARIANCE)):
            polynomial[i] += couplings[one.name] * c
    series = cumulant_series if connected else moment_series
    expected = series(polynomial, 6, VARIANCE, 3)
    for num_points in range(1, 7):
        for order in range(4):
            if order * degree + num_points > (18 if len(operators) == 1 else 15):
                continue  # for the sake of time
            found = nnft.diagrams(action, num_points, order, connected=connected)
            assert total(found, couplings) == expected[num_points][order]


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        (name, bare)
        for name in BUILT_IN_OPERATORS
        for bare in (False, True)
        if not (bare and operator(name).quadratic_forms)  # refused
    ],
)
def test_the_first_order_is_what_the_integrals_sum(name, bare):
    one = operator(name)
    action = Action([one], scheme="bare" if bare else "renormalised")
    lowest = 2 - one.num_fields % 2
    for legs in range(lowest if bare else one.num_fields, one.num_fields + 1, 2):
        found = nnft.diagrams(action, legs)
        summed = first_order_diagrams(one, legs)
        assert sum(d.num_assignments * -d.factor for d in found) == sum(
            d.multiplicity for d in summed
        )
        assert {d.num_self_contractions for d in found} == {len(summed[0].lines)}


@pytest.mark.parametrize(
    ("num_points", "order", "factors"),
    [
        # Peskin and Schroeder §4.4, figure-eight and all; Kleinert, Critical Properties
        # of φ⁴-Theories, tables of chapter 14: weights of the 2- and 4-pt function.
        (2, 1, [2]),
        (2, 2, [4, 4, 6]),
        (4, 1, [1]),
        (4, 2, [2, 2]),
    ],
)
def test_symmetry_factors_of_phi_four_are_the_textbook_s(num_points, order, factors):
    found = nnft.diagrams(Action(["lambda_0"], scheme="bare"), num_points, order)
    assert sorted(d.symmetry_factor for d in found) == sorted(factors)
    for diagram in found:
        assert abs(diagram.factor) == Fraction(24**order, diagram.symmetry_factor)
        assert diagram.sign == (-1) ** order


def test_the_tree_of_the_six_point_function_is_the_theory_s():
    (tree,) = (d for d in nnft.diagrams(Action(["lambda_0"]), 6, 2) if not d.num_loops)
    assert (tree.factor, tree.num_assignments, tree.symmetry_factor) == (576, 10, 1)
    assert tree.couplings == {"lambda_0": 2}
    legs = Counter(b.vertex for a, b in tree.lines if a.vertex == OUTSIDE)
    assert legs == {0: 3, 1: 3}


def test_the_nonlocal_and_quadratic_operators_have_three_splits():
    for name, factor in (("lambda_nl", -8), ("quadratic_squared", -2)):
        (diagram,) = nnft.diagrams(Action([name]), 4)
        assert (diagram.factor, diagram.num_assignments) == (factor, 3)
        assert diagram.symmetry_factor == 1


def test_derivatives_agree_with_a_field_that_is_independent_of_its_gradient():
    """One direction: f and f' are two Gaussian variables, and O = f² f'²."""
    found = nnft.diagrams(Action(["gradient"], scheme="bare"), 2, 2)
    v, w, c = 0.7, 1.3, 0.4  # var f, var f', covariance
    size = {(False, False): v, (False, True): c, (True, True): w}
    ours = sum(
        float(d.num_assignments * d.factor)
        * prod(size[tuple(sorted((bool(a.label), bool(b.label))))] for a, b in d.lines)
        for d in found
    )
    z, q = np.polynomial.hermite_e.hermegauss(12)
    q = np.outer(q, q) / q.sum() ** 2
    f = np.sqrt(v) * z[:, None]
    g = c / np.sqrt(v) * z[:, None] + np.sqrt(w - c**2 / v) * z[None, :]
    o = f**2 * g**2
    m = [[np.sum(q * f**k * o**n) for n in range(3)] for k in (0, 2)]
    # ½⟨f² O²⟩ − ½⟨f²⟩⟨O²⟩ − ⟨O⟩(⟨f² O⟩ − ⟨f²⟩⟨O⟩)
    expected = (m[1][2] - m[1][0] * m[0][2]) / 2 - m[0][1] * (
        m[1][1] - m[1][0] * m[0][1]
    )
    assert ours == pytest.approx(expected, rel=1e-12)


def test_an_own_weight_keeps_its_points_apart():
    weighted = Operator(
        name="w",
        symbol="w",
        fields=(0, 0, 1, 1),
        weight=lambda y, z: np.exp(-np.sum(y**2 + 2 * z**2, axis=-1)),
    )
    (diagram,) = nnft.diagrams(Action([weighted]), 4)
    assert (diagram.factor, diagram.num_assignments) == (-4, 6)


def test_lists_come_fewest_loops_first_and_are_sequences():
    found = nnft.diagrams(Action(["lambda_0", "kappa"], scheme="bare"), 4, 2)
    loops = [d.num_loops for d in found]
    assert loops == sorted(loops)
    assert found[0] == found[:1][0]
    assert len(set(found)) == len(found)
    assert nnft.diagrams(Action(["lambda_0"]), 2, 1).items == ()


def test_one_vertex_of_any_size_is_listed():
    """Thirty fields, four legs: 30!/26! hangings times 25!! pairings, one diagram."""
    (diagram,) = nnft.diagrams(Action([power(30)], scheme="bare"), 4)
    assert -diagram.factor == 30 * 29 * 28 * 27 * prod(range(1, 26, 2))


def test_a_tadpole_counts_as_a_loop_and_an_edge_as_often_as_it_is_there():
    (sunset,) = nnft.diagrams(Action(["lambda_0"]), 2, 2)
    assert sunset.num_loops == 2
    assert sorted(sunset.edges.values()) == [1, 1, 3]
    (tadpole,) = nnft.diagrams(Action(["lambda_0"], scheme="bare"), 2, 1)
    assert (tadpole.num_loops, tadpole.num_self_contractions) == (1, 1)


def test_a_loop_of_quadratic_forms_is_refused():
    action = Action(["quadratic_squared"])
    with pytest.raises(UnavailableError, match="infinite number of modes"):
        nnft.diagrams(action, 4, 2)
    with pytest.raises(UnavailableError, match="infinite number of modes"):
        nnft.diagrams(Action(["quadratic_squared"], scheme="bare"), 2)
    (chain,) = (d for d in nnft.diagrams(action, 6, 2) if not d.num_loops)
    # As the tree of g φ⁴/4K² in zero dimensions: 5760 g² K⁷/16K⁴.
    assert chain.num_assignments * chain.factor == 360


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lambda_0", 4), "expected an Action"),
        ((Action(["lambda_0"]), 0), "`num_points` is 0; expected a whole number, 1"),
        ((Action(["lambda_0"]), 4, -1), "`coupling_order` is -1; expected a whole"),
        ((Action(["lambda_0"]), 4, 1.5), "`coupling_order` is 1.5; expected a whole"),
        ((Action(["kappa"]), 8, 3), "up to 26 fields; diagrams are listed for up"),
    ],
)
def test_what_cannot_be_listed_is_refused(arguments, message):
    with pytest.raises(SpecError, match=message):
        nnft.diagrams(*arguments)
