"""The verdict: words, order and rule."""

import math

import pytest

from nnft_ppl.inference.verdict import SIGNIFICANCE, Verdict, decide


def test_the_worst_verdict_is_the_largest():
    words = ["undetermined", "does not describe", "describes"]
    assert max(map(Verdict, words)) is Verdict.FAILS
    assert sorted(map(Verdict, words)) == list(Verdict)
    assert Verdict.UNDETERMINED > "describes"
    assert Verdict.UNDETERMINED <= Verdict.FAILS


def test_sentences_name_the_subject():
    sentences = [verdict.sentence("this action") for verdict in Verdict]
    assert sentences[0] == "this action describes this network"
    assert sentences[2] == "this action does not describe this network"
    assert all("this action" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("lower", "upper", "noise", "verdict"),
    [
        (0.0, 0.09, 0.0, "describes"),
        (0.0, 0.1, 0.1, "describes"),  # the tolerance itself is tolerated
        (0.1, 0.2, 0.0, "undetermined"),
        (0.0, 0.01, 0.2, "undetermined"),  # noise hides what is left
        (0.0, 0.01, math.inf, "undetermined"),
        (0.2, 0.3, math.inf, "undetermined"),
        (0.2, 0.3, 0.5, "does not describe"),
        (0.11, 0.12, 0.0, "does not describe"),
    ],
)
def test_interval_and_noise_decide(lower, upper, noise, verdict):
    assert decide(lower, upper, tolerance=0.1, noise=noise) == verdict


@pytest.mark.parametrize(
    ("p_value", "noise", "verdict"),
    [
        (0.5, 0.05, "describes"),
        (SIGNIFICANCE, 0.05, "describes"),
        (0.5, 0.2, "undetermined"),
        (SIGNIFICANCE / 2, 0.05, "does not describe"),
        (SIGNIFICANCE / 2, math.inf, "undetermined"),
    ],
)
def test_the_p_value_decides_where_no_discrepancy_was_inferred(p_value, noise, verdict):
    found = decide(0.0, 0.0, tolerance=0.1, noise=noise, p_value=p_value)
    assert found == verdict
