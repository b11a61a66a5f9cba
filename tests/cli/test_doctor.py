"""`nnft doctor`: it measures what it says, and says what it measures."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from cli.commands import run

from nnft_ppl.cli import doctor
from nnft_ppl.correlators.sampled import throughput
from nnft_ppl.correlators.sampled.throughput import Speed
from nnft_ppl.ensemble.generator import stream_words

SPEED = Speed(
    normals_per_second=2e9,
    normals_per_second_all=4e9,
    jax_normals_per_second=5e8,
    networks_per_second=4e6,
    networks_per_second_one=2e6,
    shares={"random numbers": 0.5, "products of order 6": 0.3, "the rest": 0.2},
    at_a_time=2,
    core_share=1.0,
)
MACHINE = {"x64": False, "debugging": [], "backend": "gpu", "cores": 2}


@pytest.fixture(scope="module")
def found():
    """One run for all: the document, and the same as text."""
    monkeypatch = pytest.MonkeyPatch()
    measured = throughput.measure_speed()
    monkeypatch.setattr(throughput, "measure_speed", lambda: measured)
    try:
        return json.loads(run("doctor", "--json").stdout), run("doctor").stdout
    finally:
        monkeypatch.undo()


def test_what_there_is_to_work_with(found):
    document, text = found
    assert {plugin["name"] for plugin in document["plugins"]} >= {"relu-net", "mlp"}
    assert document["backend"] == jax.default_backend()
    assert len(document["devices"]) == jax.device_count()
    assert document["cores"] >= 1
    assert document["memory_bytes"] > 1e8
    assert not document["x64"]
    assert any("openblas" in name for name in document["blas"])
    assert "relu-net" in text
    folder = jax.config.jax_compilation_cache_dir
    assert document["programs"]["folder"] == folder
    assert f"kept programs   in {folder}, by JAX_COMPILATION_CACHE_DIR" in text
    assert f"limit           {document['limit']}" in text


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (
            {"unused": None, "bytes": 1_500_000, "most_bytes": 250_000_000},
            "1.5 MB of at most 250 MB in /x; remove the folder to clear it",
        ),
        ({"unused": "it cannot be written"}, "none in /x: it cannot be written"),
    ],
)
def test_where_programs_are_kept_and_how_to_clear_them(kept, expected):
    assert doctor.programs_text({"folder": "/x", **kept}) == expected


def test_rates_belong_together(found):
    speed = found[0]["speed"]
    assert sum(speed["shares"].values()) == pytest.approx(1)
    assert min(speed["shares"].values()) >= 0
    assert {"random numbers", "products of order 6"} < set(speed["shares"])
    nanoseconds = 1e9 / speed["normals_per_second"]
    assert speed["nanoseconds_per_normal"] == pytest.approx(nanoseconds)
    # A block takes its random numbers and more: 2 for each of 100 hidden units.
    floor = 1 / (200 / speed["normals_per_second"])
    assert speed["networks_per_second_one"] < floor


def test_as_many_normals_are_drawn_as_are_counted():
    """A sum of n independent normal numbers has variance n."""
    words, lanes, steps, runs = stream_words(jax.random.key(1), 0), 64, 2, 400
    with jax.enable_x64(False):
        sums = [
            float(throughput._fused_normals(words, steps, lanes, low))
            for low in range(0, runs * lanes, lanes)
        ]
        plain = [
            float(throughput._jax_normals(jax.random.key(i), steps, 512))
            for i in range(runs)
        ]
    count = 2 * throughput._ROWS * lanes * steps
    assert count == steps * 512
    for drawn in (sums, plain):
        # Relative standard error of a variance: √(2/400), here times 4.
        assert np.var(drawn) / count == pytest.approx(1, abs=4 * (2 / runs) ** 0.5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "the random numbers, 50% of it, the floor of the cost; 2 blocks"),
        ({"networks_per_second": 2.2e6}, "1.1 times the rate of one only"),
        ({"at_a_time": 1}, "the floor of the cost, on a single core"),
        ({"shares": {"a": 0.1, "products": 0.9}}, "is the products, 90% of it;"),
    ],
)
def test_what_limits_is_said_in_a_sentence(changes, expected):
    assert expected in doctor.what_limits(replace(SPEED, **changes))


def test_where_all_is_well_there_is_no_advice():
    assert doctor.advice(MACHINE, SPEED) == []


@pytest.mark.parametrize(
    ("machine", "speed", "expected"),
    [
        ({"x64": True}, {}, "64-bit mode is on"),
        ({"debugging": ["jax_debug_nans"]}, {}, "jax_debug_nans slow every program"),
        ({"backend": "cpu"}, {}, "no accelerator is used"),
        ({"backend": "cpu", "cores": 1}, {}, "one core only; allow it more"),
        ({}, {"core_share": 0.5}, "only 50% of a core was to be had"),
        (
            {"backend": "cpu"},
            {"normals_per_second": 1e8},
            "a random number takes 10.0 ns",
        ),
    ],
)
def test_what_is_off_is_said(machine, speed, expected):
    said = doctor.advice({**MACHINE, **machine}, replace(SPEED, **speed))
    assert any(expected in line for line in said)
