"""Messages: one line of fewer than 300 characters, both ends of it there."""

import pytest

from nnft_ppl import NnftError, PluginError, SpecError, StorageError
from nnft_ppl._errors import one_line, shown


@pytest.mark.parametrize("kind", [NnftError, PluginError, SpecError, StorageError])
def test_a_message_is_one_short_line_and_args_hold_all_of_it(kind: type[NnftError]):
    text = "`width` is\n" + "9" * 10_000 + "; expected a whole number"
    error = kind(text)
    assert len(str(error)) < 300
    assert str(error).startswith("`width` is 999")
    assert str(error).endswith("9; expected a whole number")
    assert error.args == (text,)


def test_what_does_not_print_is_written_out():
    assert one_line("a\x1b[31m\x00\n\tb \udc80é") == r"a\x1b[31m\x00 b \udc80é"


def test_a_short_line_is_left_alone():
    assert one_line("`a` is 'b'; expected σ ≥ 1") == "`a` is 'b'; expected σ ≥ 1"


def test_a_long_text_is_cut_between_words():
    words = [f"word{i}" for i in range(100)]
    head, tail = one_line(" ".join(words)).split(" … ")
    assert head.split() == words[: len(head.split())]
    assert tail.split() == words[-len(tail.split()) :]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (10**400, "an integer of about 400 digits"),
        (-(1 << 100_000), "an integer of about 30103 digits"),
        ("x", "'x'"),
        ([1, [2]], "[1, [2]]"),
    ],
    ids=["small", "400 digits", "30000 digits", "text", "list"],
)
def test_values_are_shown(value: object, text: str):
    assert shown(value) == text


def test_large_and_deep_values_are_cut():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, "x" * 10**6, list(range(10**6)), {"a": deep}):
        assert len(shown(value)) < 300
    while deep:  # a hundred thousand levels are too deep to be freed at once
        deep = deep.pop()
