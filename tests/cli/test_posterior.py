"""`nnft posterior`: what it prints is what the library gives, in the user's units."""

import json

import jax
import numpy as np
import pytest
from cli.commands import document, run
from click.testing import CliRunner

import nnft_ppl as nnft
from nnft_ppl.bayes import weighting
from nnft_ppl.bayes.comparison import FIRST, GAUSSIAN
from nnft_ppl.cli import main
from nnft_ppl.ensemble.progress import Pace

X, X_NEW = np.array([1.0, 5.0, 9.0]), np.array([7.0, 3.0])
Y, Y_NEW = np.array([0.2, 0.9, 0.5]), np.array([0.6, 0.4])
BASE = "posterior erf-net --width 20 --bias-std 1 --num-draws 500 --seed 4".split()
DATA = "--inputs x.npy --targets y.npy --new n.npy --noise 0.5".split()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, values in (("x", X), ("y", Y), ("n", X_NEW), ("t", Y_NEW)):
        np.save(f"{name}.npy", values)
    return tmp_path


def test_the_posterior_is_the_librarys_in_the_units_of_the_user(folder):
    found, _ = document(
        *BASE, *DATA, "--standardise", "--new-targets", "t.npy", "--output", "p.nc"
    )
    net = nnft.network("erf-net", width=20, input_dim=1, bias_std=1.0)
    post = nnft.posterior(
        net,
        (X - X.mean()) / X.std(),
        (Y - Y.mean()) / Y.std(),
        (X_NEW - X.mean()) / X.std(),
        noise_std=0.5,
        num_draws=500,
        key=jax.random.key(4),
    )
    mean = Y.mean() + Y.std() * post.mean
    rows = found["predictions"]
    np.testing.assert_allclose([row["mean"] for row in rows], mean)
    np.testing.assert_allclose([row["input"][0] for row in rows], X_NEW)
    np.testing.assert_allclose([row["target"] for row in rows], Y_NEW)
    sd = Y.std() * np.sqrt(post.variance)
    np.testing.assert_allclose([row["sd"] for row in rows], sd)
    assert found["standardised_by"]["target_mean"] == [Y.mean()]
    rmse = np.sqrt(np.mean((mean - Y_NEW) ** 2)) / Y.std()
    assert found["scores"]["rmse"] == pytest.approx(rmse)
    np.testing.assert_array_equal(nnft.load("p.nc").mean, post.mean)


def test_methods_widths_and_figure_in_one_call(folder):
    arguments = [*BASE, *DATA, "--compare", "--widths", "5,50", "--figure", "f.png"]
    shown = run(*arguments, "--output", "all.nc").stdout
    assert GAUSSIAN.upper() in shown
    assert "INPUT" in shown
    assert (folder / "f.png").read_bytes().startswith(b"\x89PNG")
    compared = nnft.load("all.nc")
    assert compared.message in shown
    assert FIRST in compared.table().index
    assert "relative to the GP's" in shown


def test_an_interrupted_command_goes_on_with_the_same_bits(folder, monkeypatch):
    monkeypatch.setattr(weighting, "_FEW_BLOCKS", 64)
    arguments = [*BASE, *DATA, "--output"]

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Pace, "at", stop)
    result = run(*arguments, "p.nc", "--json", code=130)
    (event,) = map(json.loads, result.stderr.splitlines())
    assert event["event"] == "interrupted"
    assert event["checkpoint"] == "p.nc.checkpoint"
    assert "interrupted after" in event["message"]
    assert not (folder / "p.nc").exists()
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    run(*arguments, "p.nc")
    run(*arguments, "whole.nc")
    assert not [path for path in folder.iterdir() if "checkpoint" in path.name]
    np.testing.assert_allclose(
        nnft.load("p.nc").mean, nnft.load("whole.nc").mean, rtol=1e-9
    )


def test_columns_are_taken_by_name(folder):
    rows = np.column_stack([Y, X])
    np.savetxt("d.csv", rows, delimiter=",", header="price,age", comments="")
    names = ("--input-columns", "age", "--target-columns", "price")
    files = "--inputs d.csv --targets d.csv --new n.npy --noise 0.5".split()
    (folder / "n.csv").write_text("age\n7\n3\n")
    files[5] = "n.csv"
    found, _ = document(*BASE, *files, *names)
    expected, _ = document(*BASE, *DATA)
    assert found["predictions"] == expected["predictions"]


@pytest.mark.filterwarnings("default:weights of 500 networks failed")
def test_weights_that_fail_end_in_exit_code_1(folder):
    np.save("y.npy", 8 * Y)  # far from what the prior gives
    arguments = [*BASE[:2], "--width", 5, *BASE[4:], *DATA]
    found, events = document(*arguments, "--method", "weights", code=1)
    assert not found["checks"][0]["passed"]
    assert "use `smc`" in found["checks"][0]["message"]
    assert any(event["event"] == "warning" for event in events)


REFUSED = {
    "--noise 0": "`--noise` is 0; expected a finite number > 0",
    "--noise 0.1 --widths 5,5": "`--widths 5,5` is no list of different widths",
    "--noise 0.1 --widths 5 --method nuts": "`--method nuts` gives no evidence",
    "--noise 0.1 --figure none/f.png": "cannot write `none/f.png`",
    "--noise 0.1 --output x.npy": "`x.npy` exists; give --force",
    "--noise 0.1 --input-columns a": "`--inputs`: 'x.npy' has no line of names",
    "--noise 0.1 --input-columns a,a": "is no list of different names of columns",
    "--noise 0.1 --method magic": "`--method` is 'magic'; choose one of",
    "--noise 0.1 --targets x.npy": "`--inputs` and `--targets` are one file",
}


@pytest.mark.parametrize("options", REFUSED)
def test_bad_options_are_refused_in_one_line(folder, options):
    result = CliRunner().invoke(main, [*BASE, *DATA[:6], *options.split()])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("nnft: ")
    assert REFUSED[options] in result.stderr
    assert len(result.stderr.splitlines()) == 1
