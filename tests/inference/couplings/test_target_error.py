"""Stop when couplings are known well enough, against the known one and the fit."""

import math

import jax
import numpy as np
import pytest

import nnft_ppl as nnft

X = [0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
KEY = jax.random.key(6)
ACTION = nnft.Action(["lambda_0"])
CUTOFF = 10.0
EXACT = -12.5 / (20 * CUTOFF**5)  # theory.md §4


def relu(**options):
    return nnft.measure_correlators(
        nnft.network("relu-net", width=20, input_dim=1), X, key=KEY, **options
    )


def test_it_is_standard_deviation_over_mean_of_the_fit_without_discrepancy():
    corr = relu(orders=(2, 4), num_draws=20_000)
    fit = nnft.fit_couplings(
        corr, ACTION, [CUTOFF], key=KEY, sampler="conjugate", discrepancy=False
    )
    draws = fit.data["posterior/coupling"].values.ravel()
    found = nnft.coupling_error(ACTION, CUTOFF)(corr)
    # The standard deviation of 4000 draws is good to 1/√8000, 1.1 %.
    assert found == pytest.approx(draws.std() / abs(draws.mean()), rel=0.05)


def test_a_measurement_stops_when_the_coupling_is_known_to_the_target():
    """And no sooner, nor much later: the error is looked at after every few blocks."""
    target, error = 0.002, nnft.coupling_error(ACTION, CUTOFF)
    corr = relu(orders=(2, 4), num_draws=10**7, target_error=target, error_of=error)
    assert corr.num_draws < 2 * 10**6
    assert target / 1.4 < error(corr) <= target
    fit = nnft.fit_couplings(corr, ACTION, [CUTOFF], key=KEY, sampler="conjugate")
    coupling = fit.data["posterior/coupling"].mean().item()
    assert abs(coupling / EXACT - 1) < 4 * target


def test_the_error_falls_as_one_over_the_root_of_the_number():
    error = nnft.coupling_error(ACTION, CUTOFF)
    few, many = (error(relu(orders=(2, 4), num_draws=n)) for n in (16_000, 256_000))
    # Each is known to a few per cent, from some 10⁴ networks or batches.
    assert few / many == pytest.approx(4.0, rel=0.25)


def test_of_several_couplings_it_is_the_worst():
    corr = nnft.measure_correlators(
        nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0),
        np.linspace(-1, 1, 6), (2, 4), num_draws=20_000, key=KEY,
    )  # fmt: skip
    names = ["lambda_0", "lambda_nl"]
    fit = nnft.fit_couplings(
        corr, nnft.Action(names), [math.pi], key=KEY, sampler="conjugate",
        discrepancy=False,
    )  # fmt: skip
    draws = fit.data["posterior/coupling"].stack(sample=["chain", "draw"])
    relative = (draws.std("sample") / abs(draws.mean("sample"))).values.ravel()
    found = nnft.coupling_error(nnft.Action(names), math.pi)(corr)
    assert found == pytest.approx(relative.max(), rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"error_of": 3, "target_error": 0.1}, "`error_of` is 3; expected a function"),
        ({"error_of": nnft.coupling_error(ACTION, 1.0)}, "without a `target_error`"),
        (
            {
                "orders": (2,),
                "error_of": nnft.coupling_error(ACTION, 1.0),
                "target_error": 0.1,
            },
            r"needs connected correlators of order \[4\]",
        ),
    ],
)
def test_what_cannot_be_aimed_at_is_refused(options, message):
    with pytest.raises(nnft.SpecError, match=message):
        relu(num_draws=10**9, **options)


@pytest.mark.parametrize(
    ("action", "cutoff", "message"),
    [
        ("lambda_0", 1.0, "`action` is 'lambda_0'; expected nnft_ppl.Action"),
        (ACTION, -1.0, "cutoff"),
    ],
)
def test_unusable_couplings_are_refused_when_they_are_asked_for(
    action, cutoff, message
):
    with pytest.raises(nnft.SpecError, match=message):
        nnft.coupling_error(action, cutoff)
