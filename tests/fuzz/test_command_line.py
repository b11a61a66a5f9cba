"""Commands with options that are nearly right, up to where the work would begin."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from fuzz.fuzzing import fuzz, read_plugins_once, texts, tiers
from hypothesis import strategies as st

import nnft_ppl as nnft
from nnft_ppl.cli import main

COMMANDS = (
    "sample",
    "correlators",
    "fit",
    "diagnose",
    "check",
    "width",
    "posterior",
    "study",
)
"""Those that take numbers, names or files; `new-plugin` writes, `doctor` measures."""

KNOWN = {
    "name": [
        "relu-net",
        "erf-net",
        "gauss-net",
        "mlp",
        "conv-net",
        "nowhere",
        "attention",
    ],
    "--option": [
        "depth=3",
        "depth=1e400",
        "activation=tanh",
        "width=3",
        "x",
        "=",
        "a=[[[",
    ],
    "--input-dim": ["1", "2", "8x8x1", "2x", "x", "0", "99999x99999x99999"],
    "--points": ["0.2,0.4,0.6", "1,0;0,1", "1;2;3", "nan,1", "1,1", ";", "1e300,1"],
    "--inputs": ["x.npy", "x.csv", "text.csv", "none.npy", "."],
    "--targets": ["y.npy", "x.csv", "text.csv", "none.npy"],
    "--new": ["x.npy", "x.csv", "text.csv", "none.npy"],
    "--new-targets": ["y.npy", "x.csv", "none.npy"],
    "--input-columns": ["a", "b", "a,b", "a,a", "c", ","],
    "--target-columns": ["a", "b", "a,b", "c", ""],
    "--noise": ["0.1", "0", "-1", "nan", "1e300"],
    "--widths": ["5,20", "5", "5,5", "0", "x", ","],
    "--method": ["auto", "weights", "smc", "nuts", "nowhere"],
    "--figure": ["figure.png", "none/figure.png", "."],
    "--measure-file": ["x.npy", "none.csv"],
    "--output": ["out.nc", "none/out.nc", ".", "x.npy"],
    "--operator": ["lambda_0", "kappa", "lambda_2", "nowhere"],
    "--coupling": ["lambda_0", "nowhere"],
    "--measure": ["box", "ball", "empirical"],
    "--scheme": ["bare", "renormalised"],
    "--sampler": ["nuts", "conjugate"],
    "--estimator": ["auto", "wick", "moments", "conditional"],
    "--generator": ["fused13", "fused", "jax"],
    "--scheduler": ["nowhere", "tcp://", "tcp://host:"],
    "--memory": ["500MB", "1B", "1" * 400 + "TB", "1 GiB", ".5kB", "5.MB"],
    "--devices": ["1", "0,1", "0", "0,", "9" * 30, "5"],
    "--extend": ["10x", "5e6", "1x", "1e300x", "9" * 400],
    "--order": ["2", "4", "6", "8", "3", "-2"],
    "correlators_file": ["corr.nc", "none.nc", "text.csv", "."],
    "fit_file": ["corr.nc", "none.nc", "x.npy"],
    "study_file": ["study.toml", "none.toml", "x.npy", "."],
}
NUMBERS = ["1", "2", "5", "0", "-1", "1e-30", "1e30", "1e300", "nan", "inf", "9" * 20]

written = texts.filter(lambda text: "\x00" not in text)  # no argument holds one


def values(parameter: click.Parameter) -> st.SearchStrategy[str]:
    """Mostly what the option may be."""
    name = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.name
    usual = st.sampled_from(KNOWN.get(name or "", NUMBERS))
    return usual | usual | usual | written


@st.composite
def command_lines(draw: Callable) -> list[str]:
    command = draw(st.sampled_from(COMMANDS))
    arguments = [command]
    for parameter in main.commands[command].params:
        required = parameter.required and draw(st.integers(0, 19)) > 0
        if isinstance(parameter, click.Argument):
            if required:
                arguments.append(draw(values(parameter)))
            continue
        if not required and draw(st.integers(0, 4)) > 0:
            continue
        arguments.append(parameter.opts[0])
        if not parameter.is_flag:
            arguments.append(draw(values(parameter)))
    return arguments


class WorkBegins(nnft.SpecError):
    """Everything that was given has been checked."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands run, with files to read, and nothing that takes long."""
    np.save(tmp_path / "x.npy", np.array([0.25, 0.5]))
    np.save(tmp_path / "y.npy", np.array([1.0, 2.0]))
    np.savetxt(tmp_path / "x.csv", np.array([[0.25, 1.0], [0.5, 2.0]]), delimiter=",")
    (tmp_path / "text.csv").write_text("a,b\n1,2\n")
    (tmp_path / "study.toml").write_text(
        '[network]\narchitecture = "relu-net"\nwidth = 5\n[inputs]\npoints = [1, 2]\n'
        "[ensemble]\nnum_draws = 1000\n"
    )
    net = nnft.network("relu-net", width=5, input_dim=1)
    nnft.exact_correlators(net, [0.5, 1.0]).save(tmp_path / "corr.nc")
    monkeypatch.chdir(tmp_path)
    read_plugins_once(monkeypatch)

    def begins(*given: object, **more: object) -> None:
        raise WorkBegins("the work begins")

    for place in (
        "correlators.sampled.measure._plan",
        "correlators.neuron.exact.exact_cumulants",
        "ensemble.sample.check_outputs",
        "diagnostics.width.required_width._method",
        "bayes.posterior_width._limit",
        "bayes.posterior.check_prior",
        "inference.couplings.fit.build_likelihood",
        "testing.check_groups",
        "study.run_study",
    ):
        monkeypatch.setattr(f"nnft_ppl.{place}", begins)
    return tmp_path


def invoke(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in (0, 2), (
        arguments,
        result.exit_code,
        result.stderr[-900:],
    )
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    if result.exit_code == 2 and "--json" in arguments:
        events = [json.loads(line) for line in lines if line.startswith("{")]
        assert events[-1]["event"] == "error", arguments
        assert len(events[-1]["message"]) < 300, arguments
        assert {event["event"] for event in events[:-1]} <= {"warning"}
        return
    if result.exit_code == 2 and not result.stderr.startswith("Usage: "):
        assert lines[-1].startswith("nnft: "), arguments
        assert len(lines[-1]) < 300, arguments
        assert all(line.startswith("warning: ") for line in lines[:-1]), lines


@tiers
def test_a_command_line_is_obeyed_or_refused(folder: Path, cases: int):
    fuzz(cases, invoke, command_lines())


@pytest.mark.parametrize(
    "arguments",
    [
        "sample relu-net --width 5 --output out.nc",
        "correlators relu-net --width 5 --output out.nc",
        "correlators relu-net --width 5 --exact --output out.nc",
        "fit corr.nc --operator lambda_0 --cutoff 10 --output fit.nc",
        "check relu-net",
        "width relu-net",
        "width relu-net --inputs x.npy --targets y.npy --noise 0.1 --new x.npy",
        "posterior relu-net --width 5 --inputs x.npy --targets y.npy --new x.npy "
        "--noise 0.1",
        "study study.toml",
    ],
)
def test_a_good_command_line_gets_to_the_work(folder: Path, arguments: str):
    """So the fuzz test does not stop short of what the library checks."""
    result = CliRunner().invoke(main, arguments.split())
    assert result.stderr == "nnft: the work begins\n"


def test_an_option_without_its_value_says_whose_it_is():
    result = CliRunner().invoke(main, ["check", "relu-net", "--num-draws"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: main check [OPTIONS] NAME\n")
    assert result.stderr.endswith("Option '--num-draws' requires an argument.\n")
