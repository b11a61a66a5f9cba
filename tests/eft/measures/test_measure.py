"""Measures that a user writes, from the class to the saved fit.

Oracle: adaptive quadrature by SciPy, with closed-form kernels.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import jax
import numpy as np
import pytest
from oracles.cubature import erf_propagator
from oracles.effective_theory import quad_pieces
from scipy.integrate import dblquad

import nnft_ppl as nnft
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.eft.integrals import Integrals
from nnft_ppl.eft.mesh.regions import (
    Profile,
    Region,
    Setting,
    ball_region,
    box_region,
)
from nnft_ppl.eft.operators import operator

LAMBDA = operator("lambda_0")
LINE = np.array([[-0.6], [0.3], [1.0]])
PLANE = np.array([[-0.6, 0.2], [0.3, 0.9]])


@dataclass(frozen=True)
class HalfBox(nnft.Measure):
    """∫ dy over [0, Λ]^d."""

    name = "half-box"

    def region(self, setting: Setting) -> Region:
        return box_region(setting, part=lambda u: (u >= 0).all(axis=1))


@dataclass(frozen=True)
class Stretched(nnft.Measure):
    """∫ dy exp(−(|y|/Λ)^power) over all of space."""

    power: float

    name = "stretched"

    def region(self, setting: Setting) -> Region:
        p = self.power
        profile = Profile(
            weight=lambda t: np.exp(-(t**p)),
            slope=lambda t: p * t**p * np.exp(-(t**p)),
            steps=np.array([1.0, 4.0, 16.0, 60.0]) ** (1 / p),
        )
        return ball_region(setting, profile)


EXPONENTIAL = Stretched(1.0)
MEASURES = [HalfBox(), EXPONENTIAL]


def net(dim=1):
    return nnft.network("erf-net", width=10, input_dim=dim, bias_std=1.0)


def products(x, *y):
    """−24 K K K K at one point y, per entry."""
    table = erf_propagator(x, np.array([y]), 1.0)[:, 0]
    return -24 * np.prod(table[entries(len(x), 4)], axis=1)


@cache
def first_order_of(measure):
    """λ_0 at Λ = 2.5 over LINE, per entry."""
    weight, ends = {
        HalfBox(): (lambda y: 1.0, (0.0, 2.5)),
        EXPONENTIAL: (lambda y: math.exp(-abs(y) / 2.5), (-100.0, 100.0)),
    }[measure]
    breaks = [ends[0], *(y for y in (-0.6, 0, 0.3, 1) if ends[0] < y < 2.5), ends[1]]
    return np.array(
        [
            quad_pieces(lambda y, e=e: weight(y) * products(LINE, y)[e], breaks)
            for e in range(15)
        ]
    )


@pytest.mark.parametrize("measure", MEASURES, ids=repr)
def test_first_order_is_the_integral_over_the_measure(measure):
    truth = first_order_of(measure)
    found = nnft.first_order("lambda_0", net(), LINE, [7.0, 2.5], measure)
    np.testing.assert_allclose(found.values[1], truth, rtol=1e-9)
    assert (found.error[1] < 1e-8 * np.abs(truth).max()).all()


def test_part_of_a_box_in_the_plane():
    found = nnft.first_order("lambda_0", net(2), PLANE, [1.5], HalfBox())
    for entry in (0, 2):
        truth, _ = dblquad(
            lambda b, a, e=entry: products(PLANE, a, b)[e], 0, 1.5, 0, 1.5, epsrel=1e-8
        )
        assert found.values[0, entry] == pytest.approx(truth, rel=1e-7)


def test_the_edge_gives_the_derivative_with_the_cutoff():
    slope = Integrals(net(), LINE, [2.5], HalfBox()).log_cutoff_derivative(LAMBDA)
    np.testing.assert_allclose(slope[0], 2.5 * products(LINE, 2.5), rtol=1e-10)


def test_the_profile_gives_the_derivative_with_the_cutoff():
    step = 1e-4
    cutoffs = 2.5 * np.exp([-step, 0.0, step])
    integrals = Integrals(net(), LINE, cutoffs, EXPONENTIAL)
    low, _, high = integrals.first_order(LAMBDA).values
    slope = integrals.log_cutoff_derivative(LAMBDA)[1]
    np.testing.assert_allclose(slope, (high - low) / (2 * step), rtol=1e-6)


def test_a_profile_of_a_square_is_the_soft_cutoff_in_many_dimensions():
    """exp(−(r/Λ')²) with Λ' = √2 Λ, in five dimensions."""
    x = np.eye(5)[:2]
    network = nnft.network("gauss-net", width=10, input_dim=5, bias_std=1.0)
    ours = nnft.first_order(LAMBDA, network, x, [math.sqrt(2) * 0.7], Stretched(2.0))
    built_in = nnft.first_order(LAMBDA, network, x, [0.7], nnft.GaussianCutoff())
    np.testing.assert_allclose(ours.values, built_in.values, rtol=1e-4)


@pytest.mark.parametrize("measure", MEASURES, ids=repr)
def test_a_fit_finds_the_coupling_and_comes_back_from_its_file(measure, tmp_path):
    exact = nnft.exact_correlators(net(), LINE, orders=(2, 4))
    values = {2: exact.connected_values[2], 4: -3e-4 * first_order_of(measure)}
    fit = nnft.fit_couplings(
        dataclasses.replace(exact, connected_values=values),
        nnft.Action(["lambda_0"], measure=measure),
        [2.5],
        key=jax.random.key(0),
        sampler="conjugate",
        num_samples=50,
    )
    found = (fit.dimensionless / fit.likelihood.scale).mean()
    assert found == pytest.approx(-3e-4, rel=1e-6)
    fit.save(tmp_path / "fit.nc")
    again = nnft.load(tmp_path / "fit.nc")
    assert again.action == fit.action
    assert again.action.measure == measure
    np.testing.assert_array_equal(again.dimensionless, fit.dimensionless)


def test_the_box_of_a_user_has_as_few_dimensions():
    with pytest.raises(nnft.UnavailableError, match=r"HalfBox\(\) is integrated in up"):
        nnft.first_order("lambda_0", net(4), np.eye(4), [1.0], HalfBox())


# Classes that keep no contract


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("plain", lambda cls: cls),
        ("thawed", dataclass),
        ("", dataclass(frozen=True)),
    ],
)
def test_a_class_that_is_no_frozen_dataclass_with_a_name_is_refused(word, kind):
    class Given(nnft.Measure):
        name = word

        def region(self, setting: Setting) -> Region:
            return box_region(setting)

    with pytest.raises(nnft.SpecError, match="of a frozen dataclass of your own"):
        nnft.Action(["lambda_0"], measure=kind(Given)())


def test_what_a_file_cannot_bring_back_is_not_saved():
    @dataclass(frozen=True)
    class Impostor(nnft.Measure):
        name = "box"

        def region(self, setting: Setting) -> Region:
            return box_region(setting)

    @dataclass(frozen=True)
    class Functional(Impostor):
        cut: Callable[[float], float]
        name = "functional"

    for measure in (Impostor(), Functional(math.sin)):
        action = nnft.Action(["lambda_0"], measure=measure)
        with pytest.raises(nnft.SpecError, match="would not come back from a file"):
            action.check_is_saved()
