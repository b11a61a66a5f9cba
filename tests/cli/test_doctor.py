"""`nnft doctor`: it measures what it says, and says what it measures."""

import json
import tomllib
from dataclasses import replace
from importlib.metadata import metadata
from pathlib import Path

import jax
import numpy as np
import pytest
from cli.commands import run

from nnft_ppl.cli import accelerators, doctor
from nnft_ppl.cli.accelerators import unused_accelerator
from nnft_ppl.correlators.sampled import bare_normals, throughput
from nnft_ppl.correlators.sampled.throughput import Speed
from nnft_ppl.ensemble import device_sizes
from nnft_ppl.ensemble.device_sizes import accelerator_sizes
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
MACHINE = {
    "x64": False,
    "debugging": [],
    "backend": "gpu",
    "cores": 2,
    "devices": [{}],
}


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


CORE = replace(device_sizes.CPU, chunk=64)
CARD = replace(accelerator_sizes(1 << 30, float64=True), chunk=64, block_draws=1 << 11)
"""Smaller than either is, so that a core does their work in no time."""


@pytest.mark.parametrize("sizes", [CORE, CARD], ids=["cpu", "accelerator"])
def test_as_many_normals_are_drawn_as_are_counted(sizes):
    """A sum of n independent normal numbers has variance n."""
    words, steps, runs = stream_words(jax.random.key(1), 0), 2, 400
    with jax.enable_x64(False):
        sums = [
            float(bare_normals.fused_normals(words, steps, sizes, low))
            for low in range(0, runs * sizes.chunk, sizes.chunk)
        ]
        plain = [
            float(bare_normals.jax_normals(jax.random.key(i), steps, 512))
            for i in range(runs)
        ]
    count = bare_normals.num_normals(steps, sizes)
    assert count == steps * 512
    for drawn in (sums, plain):
        # Relative standard error of a variance: √(2/400), here times 4.
        assert np.var(drawn) / count == pytest.approx(1, abs=4 * (2 / runs) ** 0.5)


def test_an_accelerator_draws_the_numbers_of_the_cpu():
    """Their sums differ by rounding alone."""
    words, found = stream_words(jax.random.key(2), 0), []
    for sizes in (CORE, CARD):
        with jax.enable_x64(False):
            found.append(float(bare_normals.fused_normals(words, 3, sizes, 5)))
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_steps_are_as_many_as_take_a_while(monkeypatch):
    clock = iter(np.cumsum([0, 0.003, 0, 0.006, 0, 0.012, 0, 0.024]))
    monkeypatch.setattr(bare_normals, "fused_normals", lambda *_: jax.numpy.zeros(()))
    monkeypatch.setattr(bare_normals.time, "perf_counter", lambda: next(clock))
    assert bare_normals.steps_that_last((0, 0), CORE) == 8


def test_an_accelerator_is_filled(monkeypatch):
    """As many side by side as its sizes say; whole blocks, all its rounds of them."""
    asked, jobs = [], []
    monkeypatch.setattr(device_sizes, "CPU", CARD)
    monkeypatch.setattr(throughput, "_SECONDS", 0.0)
    monkeypatch.setattr(
        throughput,
        "fused_normals",
        lambda words, steps, sizes, low: asked.append((sizes, low)) or np.zeros(()),
    )
    monkeypatch.setattr(throughput, "steps_that_last", lambda words, sizes: 1)
    monkeypatch.setattr(
        throughput.Job, "sums", lambda job, starts, _: jobs.append((job, starts)) or []
    )
    speed = throughput.measure_speed()
    assert {sizes for sizes, _ in asked} == {CARD}
    assert {low for _, low in asked} == set(range(0, 16 * CARD.chunk, CARD.chunk))
    assert {(job.sizes, job.block) for job, _ in jobs} == {(CARD, CARD.block_draws)}
    assert speed.at_a_time == CARD.rounds


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "the random numbers, 50% of it, the floor of the cost; 2 blocks"),
        ({"networks_per_second": 2.2e6}, "1.1 times the rate of one only"),
        ({"at_a_time": 1}, "the floor of the cost, on a single core"),
        ({"networks_per_second": 2.2e6}, "cores are busy with something else"),
        ({"shares": {"a": 0.1, "products": 0.9}}, "is the products, 90% of it;"),
    ],
)
def test_what_limits_is_said_in_a_sentence(changes, expected):
    machine = {**MACHINE, "backend": "cpu"}
    assert expected in doctor.what_limits(machine, replace(SPEED, **changes))


@pytest.mark.parametrize(
    ("num_devices", "expected"),
    [(1, "1.1 times the rate of one"), (2, "something else uses the devices, or")],
)
def test_two_blocks_of_one_accelerator_are_not_to_be_twice_as_fast(
    num_devices, expected
):
    machine = {**MACHINE, "devices": [{}] * num_devices}
    said = doctor.what_limits(machine, replace(SPEED, networks_per_second=2.2e6))
    assert said.endswith(expected) if num_devices == 1 else expected in said
    assert "core" not in said


def test_a_core_that_waits_for_an_accelerator_is_not_busy():
    assert doctor.advice(MACHINE, replace(SPEED, core_share=0.1)) == []


def test_where_all_is_well_there_is_no_advice():
    assert doctor.advice(MACHINE, SPEED) == []


@pytest.mark.parametrize(
    ("machine", "speed", "expected"),
    [
        ({"x64": True}, {}, "64-bit mode is on"),
        ({"debugging": ["jax_debug_nans"]}, {}, "jax_debug_nans slow every program"),
        ({"backend": "cpu", "cores": 1}, {}, "one core only; allow it more"),
        ({"backend": "cpu"}, {"core_share": 0.5}, "only 50% of a core was to be had"),
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


NVIDIA = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}.54.15  Tue Mar  5\n"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("proc/driver/nvidia/version", NVIDIA.format(580), "nnft-ppl[cuda13]"),
        ("proc/driver/nvidia/version", NVIDIA.format(550), "nnft-ppl[cuda12]"),
        ("proc/driver/nvidia/version", "?", "nnft-ppl[cuda13]"),
        ("dev/nvidia0", "", "(NVIDIA), and JAX uses the CPU; JAX for it is not"),
        ("dev/kfd", "", "nnft-ppl[rocm7-local]"),
        ("dev/accel0", "", "nnft-ppl[tpu]"),
    ],
)
def test_an_accelerator_that_jax_cannot_use_is_seen(
    tmp_path, monkeypatch, path, text, expected
):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(accelerators.shutil, "which", lambda _: None)
    assert unused_accelerator(tmp_path) is None
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert expected in unused_accelerator(tmp_path)
    monkeypatch.setattr(accelerators, "_is_installed", lambda _: True)
    assert "is installed and does not start" in unused_accelerator(tmp_path)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert "JAX_PLATFORMS=cpu keeps JAX from it" in unused_accelerator(tmp_path)


def test_without_one_it_is_said_how_one_would_be_used(monkeypatch):
    monkeypatch.setattr(doctor, "unused_accelerator", lambda: None)
    (said,) = doctor.advice({**MACHINE, "backend": "cpu"}, SPEED)
    assert said.startswith("no accelerator is used; where there is one, install JAX")


def test_the_tool_of_a_driver_stands_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerators.shutil, "which", lambda name: f"/bin/{name}")
    assert "(NVIDIA)" in unused_accelerator(tmp_path)
    advice = doctor.advice({**MACHINE, "backend": "cpu"}, SPEED)
    assert any("(NVIDIA), and JAX uses the CPU" in line for line in advice)


def test_the_extras_are_those_of_jax():
    """So that what is advised can be installed."""
    file = Path(__file__).parents[2] / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    ours = {
        name
        for name, needs in project["optional-dependencies"].items()
        if any(need.startswith(f"jax[{name}]") for need in needs)
    }
    assert ours >= {"cuda12", "cuda13", "tpu", "rocm7-local"}
    assert ours <= set(metadata("jax").get_all("Provides-Extra"))
