"""Entry points with any name and value, and hooks that return or raise anything."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
from fuzz.fuzzing import (
    assert_one_line,
    fuzz,
    refusing_in_one_line,
    scalars,
    texts,
    tiers,
)
from hypothesis import strategies as st

import nnft_ppl as nnft
from nnft_ppl.registry import load_registry

MODULE = "a_plugin_of_the_fuzz_test"


class Unprintable(Exception):
    def __str__(self) -> str:
        return "x\n" * 1000 + "\x1b[31m"


def architecture(**changes: Any) -> nnft.Architecture:
    given = {
        "name": "some-net",
        "description": "",
        "prior": lambda hp: {},
        "apply": lambda hp, params, x: x[0],
    }
    return nnft.Architecture(**given | changes)


def operator(**changes: Any) -> nnft.Operator:
    return nnft.Operator(
        **{"name": "some-net", "symbol": "g", "fields": (0,) * 4} | changes
    )


anything = scalars | st.lists(scalars, max_size=3).map(tuple)
of_architecture = st.sampled_from(
    ["name", "description", "options", "symmetries", "kernel", "neuron", "readout"]
)
of_operator = st.sampled_from(
    ["name", "symbol", "fields", "derivatives", "quadratic_forms", "weight"]
)
makers = st.one_of(
    st.builds(lambda k, v: lambda: architecture(**{k: v}), of_architecture, anything),
    st.builds(lambda k, v: lambda: operator(**{k: v}), of_operator, anything),
    anything.map(lambda value: lambda: value),
    st.sampled_from([architecture, operator, lambda: 1 / 0, lambda: sys.exit(3)]),
)
hooks = st.sampled_from(["nnft_ppl_architecture", "nnft_ppl_operator", "nnft_ppl_x"])
entry_values = st.sampled_from(
    [MODULE, f"{MODULE}:attribute", f"{MODULE}:missing", f"{MODULE} [extra]", ""]
) | texts.map(lambda text: f"no_such_module_{text}")
names = st.just("some-net") | texts


@tiers
def test_any_plugin_is_loaded_or_refused(monkeypatch: pytest.MonkeyPatch, cases: int):
    module = ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)

    def check(
        found: list[tuple[str, str]], hook: str, make: Callable, wanted: str
    ) -> None:
        vars(module).clear()
        vars(module).update(__name__=MODULE, attribute=ModuleType("attribute"))

        def implementation() -> object:
            return make()

        setattr(module, hook, nnft.hookimpl(implementation))
        entries = [EntryPoint(name, value, "nnft_ppl") for name, value in found]
        monkeypatch.setattr("nnft_ppl.registry.entry_points", lambda group: entries)
        registry = load_registry()
        assert len(registry.plugins) + len(registry.refusals) <= len(entries)
        for refusal in registry.refusals:
            assert_one_line(refusal.reason)
        with refusing_in_one_line():
            nnft.network(wanted, width=1, input_dim=1)
        with refusing_in_one_line():
            nnft.Action([wanted])

    fuzz(
        cases,
        check,
        st.lists(st.tuples(names, entry_values), max_size=3),
        hooks,
        makers,
        names,
    )


def test_an_error_of_a_plugin_that_prints_pages_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
):
    module = ModuleType(MODULE)

    def fails() -> None:
        raise Unprintable

    module.nnft_ppl_architecture = nnft.hookimpl(fails)
    monkeypatch.setitem(sys.modules, MODULE, module)
    entry = EntryPoint("some-net", MODULE, "nnft_ppl")
    monkeypatch.setattr("nnft_ppl.registry.entry_points", lambda group: [entry])
    (refusal,) = load_registry().refusals
    assert_one_line(refusal.reason)
    with pytest.raises(
        nnft.PluginError, match=r"'some-net'.*raised Unprintable: x x x"
    ):
        nnft.network("some-net", width=1, input_dim=1)
