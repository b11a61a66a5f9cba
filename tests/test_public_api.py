"""No public name goes or changes unseen."""

import ast
import difflib
from pathlib import Path

import public_api
import pytest
from test_readme import code_blocks

ROOT = Path(__file__).parent.parent


def compare(kept: str, now: str) -> None:
    changes = difflib.unified_diff(
        kept.splitlines(),
        now.splitlines(),
        "docs/api.txt",
        "the code",
        n=0,
        lineterm="",
    )
    changed = [line for line in changes if not line.startswith("@@")]
    if changed:
        pytest.fail(
            "\n".join(["the public interface changed:", *changed])
            + "\nWhat users call is kept, or deprecated first: see CONTRIBUTING.md. If "
            "this is meant, `make api` writes docs/api.txt, and CHANGELOG.md says it."
        )


@pytest.fixture(scope="module")
def listing() -> str:
    return public_api.listing()


def test_the_public_interface_is_that_of_the_list(listing):
    compare(public_api.LIST.read_text(encoding="utf-8"), listing)


def test_a_change_is_named_with_what_to_do():
    kept = "a.first(x)\na.second\n"
    compare(kept, kept)
    with pytest.raises(pytest.fail.Exception) as failure:
        compare(kept, "a.first(x, y=1)\na.second\n")
    _, _, _, before, after, advice = str(failure.value).splitlines()
    assert (before, after) == ("-a.first(x)", "+a.first(x, y=1)")
    assert "`make api` writes docs/api.txt" in advice


def test_all_that_the_pages_import_is_listed(listing):
    listed = {line.partition("(")[0] for line in listing.splitlines()}
    imported = {
        f"{node.module}.{alias.name}"
        for page in ("README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")))
        for code in code_blocks(page, "python")
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if str(node.module).partition(".")[0] == "nnft_ppl"
    }
    assert "nnft_ppl.plots.plot_running" in imported
    assert imported <= listed | set(public_api.MODULES)


def test_members_of_a_class_are_listed_as_they_are_called():
    class Thing:
        constant = 1

        def __init__(self, a, *, b=None, c=object): ...

        def method(self, x=(1, "two")): ...

        @classmethod
        def made(cls, x: int = 3) -> "Thing": ...

        @property
        def shape(self): ...

        def _hidden(self): ...

    Thing.__module__ = "nnft_ppl.thing"
    assert sorted(public_api.class_lines(Thing, "Thing")) == [
        "Thing(a, *, b=None, c=…)",
        "Thing.constant",
        "Thing.made(x=3)",
        "Thing.method(x=(1, 'two'))",
        "Thing.shape",
    ]
