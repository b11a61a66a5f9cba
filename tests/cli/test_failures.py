"""A command that an error ends says in one line what happened and how to go on."""

from contextlib import contextmanager
from itertools import islice

import jax
import pytest
from cli.commands import run

import nnft_ppl as nnft
from nnft_ppl.cli.resumption import Files
from nnft_ppl.correlators.sampled import measure

BLOCK = 1 << 17
COMMAND = ("correlators", "erf-net", "--width", 5, "--num-draws", 4 * BLOCK)


@pytest.fixture
def out_of_memory(monkeypatch):
    """Within, memory runs out after two blocks."""
    open_runner = measure.open_runner

    @contextmanager
    def opened(*arguments):
        with open_runner(*arguments) as whole:

            def part(job, starts):
                yield from islice(whole(job, starts), 2)
                raise nnft.SpecError("out of memory, the fewest networks")

            yield part

    @contextmanager
    def within():
        with monkeypatch.context() as patch:
            patch.setattr(measure, "open_runner", opened)
            yield

    return within


def test_the_line_says_where_the_sums_are_and_the_command_goes_on(
    tmp_path, out_of_memory
):
    output, sums = tmp_path / "c.nc", tmp_path / "c.nc.sums"
    with out_of_memory():
        result = run(*COMMAND, "-o", output, code=2)
    assert result.stderr == (
        "nnft: out of memory, the fewest networks; "
        f"the same work goes on from `{sums}`\n"
    )
    # On a slow machine the sums were saved twice.
    there = {path.name for path in tmp_path.iterdir()} - {"c.nc.sums.previous"}
    assert there == {"c.nc.sums"}
    result = run(*COMMAND, "-o", output)
    assert f"going on from {sums}, which holds {2 * BLOCK:,} networks" in result.stderr
    assert nnft.load(output).num_draws == 4 * BLOCK


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("libx.so: failed to map segment from shared object"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_machine_without_room_is_no_bug(tmp_path, monkeypatch, error):
    error.add_note("--------------------\nFor simplicity, JAX has removed its frames")

    def failing(*given, **more):
        raise error

    monkeypatch.setattr(Files, "check", failing)
    result = run(*COMMAND, "-o", tmp_path / "c.nc", code=2)
    assert result.stderr.startswith("nnft: ")
    assert result.stderr.endswith(f"{error}\n")
    assert list(tmp_path.iterdir()) == []
