"""The list of breaks fits the code: `make mutants` runs it."""

import ast
from collections import Counter

import pytest
from mutants import MAX_LIVING, ROOT, Mutant, read_mutants

MUTANTS = read_mutants()


def test_every_break_is_one_line_that_is_there_once():
    for one in MUTANTS:
        text = (ROOT / one.file).read_text(encoding="utf-8")
        broken = one.broken(text)
        pairs = zip(text.splitlines(), broken.splitlines(), strict=True)
        assert sum(before != after for before, after in pairs) == 1, one.name
        ast.parse(broken)
        assert one.breaks, one.name


def test_the_tests_that_should_notice_are_there():
    for one in MUTANTS:
        assert one.tests, one.name
        for test in one.tests:
            file, _, function = test.partition("::")
            assert (ROOT / file).is_file(), f"{one.name}: {test}"
            name = function.partition("[")[0]
            assert name in (ROOT / file).read_text(encoding="utf-8"), one.name


def test_there_are_sixty_of_different_names():
    names = Counter(one.name for one in MUTANTS)
    assert len(names) >= 60
    assert max(names.values()) == 1
    assert sum(bool(one.lives) for one in MUTANTS) <= MAX_LIVING


def test_a_line_that_is_gone_is_said():
    lost = Mutant("lost", "nnft_ppl/x.py", "one", "two", "all", ("tests/test_x.py",))
    for text in ("no", "one and one"):
        with pytest.raises(ValueError, match=r"lost: not one 'one' in nnft_ppl/x\.py"):
            lost.broken(text)
