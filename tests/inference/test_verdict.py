"""The verdict: words, order and rule."""

import itertools
import math

import pytest

from nnft_ppl import SpecError
from nnft_ppl.inference.verdict import (
    SIGNIFICANCE,
    Reason,
    Verdict,
    check_tolerance,
    decide,
    fits_noise,
)


def decided(lower, upper, **known):
    """A decision on data without noise, of couplings that are the best ones."""
    return decide(
        lower,
        upper,
        **{
            "tolerance": 0.1,
            "noise": 0.0,
            "misfit": upper,
            "p_value": math.nan,
            "is_inferred": True,
            **known,
        },
    )


def test_the_worst_verdict_is_the_largest():
    words = ["undetermined", "does not describe", "describes"]
    assert max(map(Verdict, words)) is Verdict.FAILS
    assert sorted(map(Verdict, words)) == list(Verdict)
    assert Verdict.UNDETERMINED > "describes"
    assert Verdict.UNDETERMINED <= Verdict.FAILS


def test_sentences_name_the_subject():
    sentences = [verdict.sentence("this action", "this network") for verdict in Verdict]
    assert sentences[0] == "this action describes this network"
    assert sentences[2] == "this action does not describe this network"
    assert all("this action" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("lower", "upper", "noise", "verdict", "reason"),
    [
        (0.0, 0.09, 0.0, "describes", Reason.NOISELESS),
        (0.0, 0.1, 0.1, "describes", Reason.NOISELESS),  # the tolerance is tolerated
        (0.1, 0.2, 0.0, "undetermined", Reason.OPEN),
        (0.0, 0.01, 0.2, "undetermined", Reason.NOISY),  # it hides what is left
        (0.0, 0.01, math.inf, "undetermined", Reason.UNTRUSTED),
        (0.2, 0.3, math.inf, "undetermined", Reason.UNTRUSTED),
        (0.2, 0.3, 0.5, "does not describe", Reason.OFF),
        (0.11, 0.12, 0.0, "does not describe", Reason.OFF),
        (math.nan, math.nan, 0.0, "undetermined", Reason.OPEN),
    ],
)
def test_interval_and_noise_decide(lower, upper, noise, verdict, reason):
    assert decided(lower, upper, noise=noise) == (verdict, reason)


@pytest.mark.parametrize(
    ("p_value", "noise", "verdict", "reason"),
    [
        (0.5, 0.05, "describes", Reason.FITS),
        (SIGNIFICANCE, 0.05, "describes", Reason.FITS),
        (0.5, 0.2, "undetermined", Reason.NOISY),
        (SIGNIFICANCE / 2, 0.05, "does not describe", Reason.NOT_EXACT),
        (SIGNIFICANCE / 2, math.inf, "undetermined", Reason.UNTRUSTED),
    ],
)
def test_the_p_value_decides_where_no_discrepancy_was_inferred(
    p_value, noise, verdict, reason
):
    known = {"noise": noise, "p_value": p_value, "is_inferred": False}
    assert decided(0.0, 0.0, **known) == (verdict, reason)


@pytest.mark.parametrize(
    ("p_value", "fits", "reason"),
    [
        (0.5, True, Reason.FITS),
        (1e-186, False, Reason.WITHIN),
        (0.0, False, Reason.WITHIN),
        (math.nan, None, Reason.NOISELESS),
    ],
)
def test_a_small_misfit_that_is_resolved_is_told_apart(p_value, fits, reason):
    assert fits_noise(p_value) is fits
    assert decided(0.01, 0.03, noise=0.01, p_value=p_value) == ("describes", reason)


def test_couplings_that_leave_more_than_tolerance_and_noise_never_describe():
    """An interval of s near zero beside a misfit of 89 %, as it once was."""
    found = decided(1e-5, 3e-5, noise=0.03, misfit=0.89, p_value=1e-186)
    assert found == ("undetermined", Reason.NOT_BEST)
    bad = math.nan
    values = (0.0, 0.02, 0.1, 0.11, 0.2, 0.5, bad)
    for lower, upper, noise, misfit, p_value, inferred in itertools.product(
        values, values, values, values, (0.0, 0.5, bad), (True, False)
    ):
        word = decide(
            lower,
            upper,
            tolerance=0.1,
            noise=noise,
            misfit=misfit,
            p_value=p_value,
            is_inferred=inferred,
        ).verdict
        if word is Verdict.DESCRIBES:
            assert misfit <= 0.1 + noise
            assert max(upper, noise) <= 0.1
            assert not lower > 0.1
            assert inferred or p_value != 0.0


def test_the_tolerance_is_the_users():
    assert decided(0.02, 0.03, tolerance=0.01).verdict is Verdict.FAILS
    assert decided(0.2, 0.3, tolerance=0.5).verdict is Verdict.DESCRIBES


@pytest.mark.parametrize("tolerance", [0, -0.1, math.inf, math.nan, True, "10 %"])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(SpecError, match=r"`tolerance` is .*; expected a number > 0"):
        check_tolerance(tolerance)
