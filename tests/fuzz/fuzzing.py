"""Feeding a parser anything: what it may say, and how often it is asked."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from nnft_ppl import NnftError, registry
from nnft_ppl.eft import operators

QUICK = 1_000
"""Cases of every parser in the quick tier."""
LONG = int(os.environ.get("NNFT_FUZZ_CASES", "100_000"))
"""Cases of every parser in the long tier: some twenty minutes of two cores for all, of
which continuous integration, whose time is limited, takes a fifth."""

tiers = pytest.mark.parametrize(
    "cases",
    [QUICK, pytest.param(LONG, marks=pytest.mark.slow)],
    ids=["few", "many"],
)
"""A fuzz test takes `cases` and hands it to `fuzz`."""


def fuzz(cases: int, check: Callable[..., None], *given: st.SearchStrategy) -> None:
    """Call `check` on so many values of the strategies."""
    settings = hypothesis.settings(
        max_examples=cases,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],  # a case of 10⁵ characters shrinks for long
    )
    settings(hypothesis.given(*given)(check))()


@contextmanager
def refusing_in_one_line() -> Iterator[None]:
    """Nothing but an error of ours leaves, in one line of fewer than 300 characters."""
    try:
        yield
    except NnftError as error:
        assert_one_line(str(error))


@contextmanager
def rewritten(path: Path) -> Iterator[tuple[Path, Callable[[bytes], None]]]:
    """A file and what gives it new bytes: to open it anew takes most of the time."""
    with path.open("wb", buffering=0) as file:

        def write(data: bytes) -> None:
            file.seek(0)
            file.truncate()
            file.write(data)

        yield path, write


def assert_one_line(message: str) -> None:
    assert 0 < len(message) < 300
    assert message.isprintable(), repr(message)


def read_plugins_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what they are; reading them takes longer than most parsers."""
    found = registry.load_registry()
    for module in (registry, operators):
        monkeypatch.setattr(module, "load_registry", lambda: found)
    monkeypatch.setattr(
        registry, "supplied", lambda kind, name: found.named(kind).get(name)
    )


HOSTILE_TEXTS = (
    *("", " ", "\x00", "\x1b[31m", "\n", "\r\n", "\ufeff", "\u202e", "{}", "[]"),
    *("inf", "-inf", "nan", "1e400", "0x10", "1_0", "²", "١", "none", "true", "-1"),
    *("0", "1e-400", "99999999999999999999", "9" * 400, "9" * 5000, "1e300", "1e-30"),
    *("<script>alert(1)</script>", "../../x", "/", "a=b", "x" * 300, "é" * 300),
    *("lambda_0", "relu-net", "mlp", "box", "a\nb", "=", "==", ",", ";", "\\", '"'),
)
HOSTILE_NUMBERS = (
    *(0, 1, -1, 2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**63, 2**64, 10**30, 10**400),
    *(-(10**400), 0.0, -0.0, 5e-324, 1e-30, 1e-8, 1e6, 1e30, 1e300),
    *(float("inf"), float("-inf"), float("nan"), True, False),
)

texts = st.sampled_from(HOSTILE_TEXTS) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=12
)
numbers = st.sampled_from(HOSTILE_NUMBERS) | st.integers(-3, 300) | st.floats(-4, 4)
scalars = numbers | texts
