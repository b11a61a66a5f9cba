"""Study files of every kind: valid ones with something changed, and any bytes."""

import json
import math
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fuzz.fuzzing import (
    fuzz,
    read_plugins_once,
    refusing_in_one_line,
    rewritten,
    scalars,
    tiers,
)
from hypothesis import strategies as st

from nnft_ppl.study import read_study

VALID = """
[network]
architecture = "relu-net"
widths = [10, 2]
input_dim = 1
weight_std = 1.5
bias_std = 0.0
options = {}
[inputs]
points = [0.5, 1.0]
[ensemble]
num_draws = 1000
seed = 3
target_error = 0.1
estimator = "auto"
plain_draws = 0
[eft]
width = 20
operators = ["lambda_0"]
measure = "box"
scheme = "renormalised"
cutoffs = [100, 7, 20.5, "inf"]
candidates = [["lambda_0"], ["lambda_0", "lambda_2"]]
comparison_cutoff = 7
tolerance = 0.1
num_draws = 1000
data = "measured"
sampler = "nuts"
num_warmup = 10
num_samples = 10
num_chains = 2
[output]
directory = "runs/x"
"""
WITH_DATA = """
[network]
architecture = "relu-net"
widths = [10, 2]
[ensemble]
num_draws = 1000
seed = 3
[data]
inputs = [-1.0, 0.0, 1.0, 2.0]
targets = [0.3, -0.4, 0.9, 0.2]
held_out = 0.3
standardise = true
noise_std = 0.1
width = 2
[training]
inputs = [[-1.0], [0.0], [1.0]]
targets = [0.3, -0.4, 0.9]
new_inputs = [-0.5, 0.7]
new_targets = [0.1, 0.2]
method = "langevin"
times = [0, 2, 20]
learning_rate = 0.01
temperature = 0.1
num_draws = 1000
operators = ["source", "lambda_0"]
tolerance = 0.1
[output]
directory = "runs/x"
"""
SNIPPETS = (
    *("[", "]", "[[", "{", "}", "=", ".", ",", '"', "'", '"""', "\n", "\r", "\x00"),
    *("[network]", "[eft]", "[[inputs]]", "[network.options]\nwidth = 3\n", "#", "\\u"),
    *("a.b.c = 1\n", "a" + ".a" * 300 + " = 1\n", "[" * 2000, "{a=" * 2000, "9" * 5000),
    *(
        "0x" + "f" * 9000,
        "1e999",
        "-nan",
        "1979-05-27",
        "\ufeff",
        "é",
        "file = 'x.csv'",
    ),
    *("kernel_draws = 9\n", "file = 'x.npy'\n", "measure_file = '\\u0000'\n"),
    *(
        "columns = ['x']\n",
        "input_columns = ['x']\n",
        "target_column = 'y'\n",
        "inputs = 'x.csv'\n",
    ),
    *("held_out = 2\n", "method = 'gradient_flow'\n", "sampler = 'nuts'\n"),
)

values = st.recursive(
    scalars | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner)
    ),
    max_leaves=6,
)
spots = st.lists(
    st.tuples(st.integers(0, 99), st.sampled_from(["set", "drop", "add"]), values),
    max_size=3,
)
cuts = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["cut", "repeat", "insert"]),
        st.sampled_from(SNIPPETS),
    ),
    max_size=2,
)


def written(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(k)} = {written(v)}" for k, v in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return repr(value) if isinstance(value, (int, float)) else json.dumps(value)


def changed(
    valid: str,
    spots: list[tuple[int, str, Any]],
    cuts: list[tuple[float, str, str]],
) -> bytes:
    """A valid file with values changed, then its text."""
    tables = tomllib.loads(valid)
    for number, what, value in spots:
        keys = [(t, k) for t, table in tables.items() for k in table]
        table, key = keys[number % len(keys)]
        if what == "set":
            tables[table][key] = value
        elif what == "drop":
            del tables[table][key]
        elif isinstance(tables[table][key], dict):
            tables[table][key]["width"] = value
        else:
            tables[table][f"{key}s"] = value
    text = "".join(
        f"[{name}]\n" + "".join(f"{k} = {written(v)}\n" for k, v in table.items())
        for name, table in tables.items()
    )
    for where, what, snippet in cuts:
        at = int(where * len(text))
        if what == "cut":
            text = text[:at] + text[at + len(snippet) :]
        else:
            more = snippet if what == "insert" else text[at : at + 40]
            text = text[:at] + more + text[at:]
    return text.encode("utf-8", "surrogatepass")


files = st.builds(changed, st.sampled_from((VALID, WITH_DATA)), spots, cuts)


@tiers
def test_a_changed_study_file_is_read_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: int
):
    read_plugins_once(monkeypatch)
    with rewritten(tmp_path / "study.toml") as (path, write):
        for valid in (VALID, WITH_DATA):
            write(valid.encode())
            read_study(path)

        def check(data: bytes) -> None:
            write(data)
            with refusing_in_one_line():
                read_study(path)

        fuzz(cases, check, files)


@tiers
def test_any_bytes_are_read_or_refused(tmp_path: Path, cases: int):
    with rewritten(tmp_path / "study.toml") as (path, write):

        def check(data: bytes) -> None:
            write(data)
            with refusing_in_one_line():
                read_study(path)

        fuzz(cases, check, st.binary(max_size=300))
