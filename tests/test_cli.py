"""The command line: quick to start, one JSON document, exit codes, no traceback."""

import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from click.testing import CliRunner, Result
from toy_study import TOY

import nnft_ppl as nnft
from nnft_ppl.cli import main
from nnft_ppl.diagnostics.answers import QUESTIONS

COMMANDS = (
    "study",
    "report",
    "architectures",
    "sample",
    "correlators",
    "fit",
    "diagnose",
    "export",
    "check",
    "width",
    "posterior",
    "new-plugin",
    "doctor",
)
HEAVY = ("jax", "numpy", "numpyro", "arviz", "xarray", "matplotlib", "scipy", "pandas")


def nnft_command(*arguments: object, code: int = 0) -> Result:
    """Run a command in this process and require its exit code."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def document(*arguments: object, code: int = 0):
    """What a command prints on stdout with --json: one document, keys sorted."""
    out = nnft_command(*arguments, "--json", code=code).stdout
    found = json.loads(out)
    assert out == json.dumps(found, sort_keys=True) + "\n"
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Correlators and a fit, made by the commands themselves."""
    path: Path = tmp_path_factory.mktemp("cli")
    nnft_command(
        "correlators",
        *("relu-net", "--width", 20, "--points", "0.5,1.0"),
        *("--exact", "--order", 2, "--order", 4, "--order", 6),
        *("--output", path / "corr.nc"),
    )
    nnft_command(
        "fit",
        path / "corr.nc",
        *("--operator", "lambda_0", "--cutoff", 10, "--cutoff", 100),
        *("--sampler", "conjugate", "--num-samples", 500),
        *("--output", path / "fit.nc"),
    )
    return path


def test_importing_the_command_line_imports_nothing_heavy():
    code = (
        "import sys, nnft_ppl.cli; "
        f"print([module for module in {HEAVY!r} if module in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_is_there(command: str):
    out = nnft_command(*filter(None, [command]), "--help").stdout
    assert out.startswith("Usage: ")


def test_every_command_offers_json():
    assert set(main.commands) == set(COMMANDS)
    for command in COMMANDS:
        assert "--json" in nnft_command(command, "--help").stdout


def test_help_is_quick():
    """Warm it takes a tenth of a second; the bound leaves room for a busy machine."""
    program = Path(sys.executable).with_name("nnft")
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([program, "study", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 1.0


def test_bad_input_is_one_line_on_stderr_and_exit_code_2(tmp_path: Path):
    program = Path(sys.executable).with_name("nnft")
    out = subprocess.run(
        [program, "study", str(tmp_path / "none.toml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 2
    assert out.stdout == ""
    assert out.stderr.startswith("nnft: cannot read the study file")
    assert len(out.stderr.splitlines()) == 1


def test_version():
    assert nnft.__version__ in nnft_command("--version").stdout


def test_architectures_are_listed():
    found = document("architectures")["architectures"]
    assert {a["name"] for a in found} == set(nnft.architectures())
    relu = next(a for a in found if a["name"] == "relu-net")
    assert relu["knows"] == ["kernel", "readout", "neuron"]
    assert "relu-net" in nnft_command("architectures").stdout


@pytest.mark.slow
def test_check_passes_a_good_plugin():
    found = document("check", "relu-net", "--num-draws", 2000, "--width", 5)
    assert found["passed"]
    assert len(found["checks"]) > 3


LIAR = """
import jax.numpy as jnp, numpyro, numpyro.distributions as dist
import nnft_ppl as nnft

def prior(hp):
    shape = (hp.input_dim, hp.width)
    return numpyro.sample("W0", dist.Normal(0, 1).expand(shape).to_event())

@nnft.hookimpl
def nnft_ppl_architecture():
    return nnft.Architecture(
        name="liar",
        description="its kernel is wrong",
        prior=prior,
        apply=lambda hp, W, x: jnp.sum(x @ W, keepdims=True) / hp.width**0.5,
        kernel=lambda hp, x, y: 3.0 * jnp.dot(x, y),
        symmetries=frozenset({"sign"}),
    )
"""


def test_check_fails_a_plugin_that_lies(install_plugins):
    install_plugins("liar-plugin", {"liar": LIAR})
    found = document("check", "liar", "--num-draws", 2000, code=1)
    assert not found["passed"]
    assert "'liar' fails" in found["message"]


@pytest.mark.slow
def test_doctor_tells_versions_devices_and_plugins():
    found = document("doctor")
    assert found["versions"]["nnft_ppl"] == nnft.__version__
    assert found["devices"]
    assert "relu-net" in {p["name"] for p in found["plugins"]}
    assert found["refused"] == []


@pytest.mark.slow
def test_doctor_tells_why_a_plugin_was_refused(install_plugins):
    install_plugins("broken-plugin", {"broken": "import no_such_module"})
    found = document("doctor", code=1)
    (refused,) = found["refused"]
    assert refused["name"] == "broken"
    assert refused["distribution"] == "broken-plugin 1.0"
    assert "no_such_module" in refused["reason"]
    assert "REFUSED" in nnft_command("doctor", code=1).stdout
    assert "refused: broken" in nnft_command("architectures").stderr


def test_sample_saves_an_ensemble(tmp_path: Path):
    output = tmp_path / "ens.nc"
    arguments = ("sample", "erf-net", "--width", 5, "--num-draws", 7, "--seed", 3)
    found = document(*arguments, "--output", output)
    assert found["shape"] == [7, 6, 1]  # the six suggested inputs
    assert nnft.load(output).values.shape == (7, 6, 1)


def test_output_is_replaced_only_by_force(tmp_path: Path):
    output = tmp_path / "ens.nc"
    output.write_text("precious")
    arguments = ("sample", "erf-net", "--width", 5, "--num-draws", 7, "-o", output)
    assert "give --force to replace it" in nnft_command(*arguments, code=2).stderr
    assert output.read_text() == "precious"
    nnft_command(*arguments, "--force")
    assert nnft.load(output).values.shape == (7, 6, 1)


def test_exact_correlators_are_the_library_s(folder: Path):
    saved = nnft.load(folder / "corr.nc")
    net = nnft.network("relu-net", width=20, input_dim=1)
    expected = nnft.exact_correlators(net, [0.5, 1.0], orders=(2, 4, 6))
    np.testing.assert_array_equal(saved.connected(4), expected.connected(4))


def test_correlators_are_printed_and_measured(tmp_path: Path):
    found = document(
        *("correlators", "erf-net", "--width", 4, "--input-dim", 2, "--bias-std", 1),
        *("--points", "1,0;0,1", "--num-draws", 500, "--order", 4),
        *("-o", tmp_path / "c.nc"),
    )
    assert found["estimator"] == "conditional"
    assert [row["order"] for row in found["correlators"]] == [2, 4]
    assert found["correlators"][0]["entries"] == [[0, 0], [0, 1], [1, 1]]
    assert nnft.load(tmp_path / "c.nc").x.tolist() == [[1, 0], [0, 1]]


def test_correlators_of_several_outputs(tmp_path: Path):
    output = tmp_path / "two.nc"
    found = document(
        *("correlators", "relu-net", "--width", 5, "--points", "0.5,1"),
        *("--output-dim", 2, "--exact", "-o", output),
    )
    assert found["legs"] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert len(found["correlators"][1]["connected"]) == 35
    refused = nnft_command(
        *("fit", output, "--operator", "lambda_0", "--cutoff", 10),
        *("-o", tmp_path / "fit.nc"),
        code=2,
    )
    assert "couplings are fitted to one output" in refused.stderr


def test_a_network_without_a_gaussian_limit_is_said_to_be_one(tmp_path: Path):
    result = nnft_command(
        *("correlators", "correlated-net", "--width", 5, "--points", "0.5"),
        *("--num-draws", 500, "-o", tmp_path / "c.nc"),
    )
    assert "no Gaussian limit: the output weights share one" in result.stderr


def test_inputs_come_from_a_file(tmp_path: Path):
    np.savetxt(tmp_path / "x.csv", [0.25, 0.5, 0.75], delimiter=",")
    nnft_command(
        *("correlators", "relu-net", "--width", 4, "--exact"),
        *("--inputs", tmp_path / "x.csv", "-o", tmp_path / "c.nc"),
    )
    assert nnft.load(tmp_path / "c.nc").x.ravel().tolist() == [0.25, 0.5, 0.75]


def test_exact_refuses_options_of_sampling(tmp_path: Path):
    result = nnft_command(
        *("correlators", "relu-net", "--width", 4, "--exact", "--num-draws", 7),
        *("-o", tmp_path / "c.nc"),
        code=2,
    )
    assert "`--exact` samples nothing, but `--num-draws` is given" in result.stderr
    assert not list(tmp_path.iterdir())


def test_heavy_tails_are_warned_of(tmp_path: Path):
    result = nnft_command(
        *("correlators", "gauss-net", "--width", 2, "--bias-std", 1),
        *("--points", "0.01", "--num-draws", 1000, "--estimator", "moments"),
        *("-o", tmp_path / "c.nc"),
    )
    assert "of a heavy tail, dominate" in result.stderr


def test_fit_gives_the_known_coupling(folder: Path):
    """λ_0 = −12.5/(N Λ⁵) for this network (theory.md §4)."""
    found = document(
        *("fit", folder / "corr.nc", "--operator", "lambda_0", "--cutoff", 10),
        *("--sampler", "conjugate", "-o", folder / "other.nc"),
    )
    (row,) = found["summary"]
    assert row["mean"] == pytest.approx(-12.5 / 20 / 1e5, rel=1e-4)
    assert found["adequacy"][0]["verdict"] == "describes"


def test_fit_takes_measure_and_scheme(folder: Path):
    """In one dimension the ball is the box; the files tell them apart."""
    options = ("--sampler", "conjugate", "--num-samples", 50, "-o", folder / "ball.nc")
    operators = ("--operator", "lambda_0", "--operator", "kappa", "--cutoff", 10)
    found = document(
        *("fit", folder / "corr.nc", *operators, *options),
        *("--measure", "ball", "--scheme", "bare"),
    )
    assert [row["operator"] for row in found["summary"]] == ["lambda_0", "kappa"]
    fit = nnft.load(folder / "ball.nc")
    expected = nnft.Action(["lambda_0", "kappa"], measure=nnft.Ball(), scheme="bare")
    assert fit.action == expected


def test_an_empirical_measure_is_over_the_inputs_unless_data_are_given(folder: Path):
    common = ("--sampler", "conjugate", "--num-samples", 50)
    document(
        *("fit", folder / "corr.nc", "--operator", "lambda_0", "--cutoff", "inf"),
        *("--measure", "empirical", *common, "-o", folder / "inputs.nc"),
    )
    fit = nnft.load(folder / "inputs.nc")
    assert fit.action.measure == nnft.Empirical(fit.correlators.x)
    (folder / "data.csv").write_text("0.5\n1.5\n2.0\n")
    document(
        *("fit", folder / "corr.nc", "--operator", "lambda_0", "--cutoff", "inf"),
        *("--measure", "empirical", "--measure-file", folder / "data.csv"),
        *(*common, "-o", folder / "data.nc"),
    )
    measure = nnft.load(folder / "data.nc").action.measure
    assert measure == nnft.Empirical([[0.5], [1.5], [2.0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--measure", "sphere"), "`--measure` is 'sphere'; choose one of ['box',"),
        (("--scheme", "none"), "`--scheme` is 'none'; choose one of ['renormalised',"),
        (("--measure-file", "none.csv"), "none.csv"),
    ],
)
def test_bad_measures_and_schemes_are_refused(folder: Path, options, message: str):
    result = nnft_command(
        *("fit", folder / "corr.nc", "--operator", "lambda_0", "--cutoff", 10),
        *("-o", folder / "refused.nc", *options),
        code=2,
    )
    assert message in result.stderr
    assert not (folder / "refused.nc").exists()


def test_diagnose_passes_a_good_fit(folder: Path):
    found = document("diagnose", folder / "fit.nc")
    assert all(check["passed"] for check in found["checks"])
    # The document's keys are sorted.
    assert set(found["answers"]) == set(QUESTIONS)
    assert found["answers"][QUESTIONS[2]] == "no other action was compared"
    text = nnft_command("diagnose", folder / "fit.nc").stdout
    places = [text.index(question) for question in QUESTIONS]
    assert places == sorted(places)


def test_diagnose_takes_the_users_tolerance(folder: Path):
    options = ("diagnose", folder / "fit.nc", "--tolerance")
    strict = nnft_command(*options, 1e-12, code=1)
    assert "tolerated" in strict.stdout
    refused = nnft_command(*options, 0, code=2)
    assert "`--tolerance` is 0.0; expected a number > 0" in refused.stderr


def test_diagnose_fails_where_the_action_does_not_describe(tmp_path: Path):
    nnft_command(
        *("correlators", "relu-net", "--width", 3, "--bias-std", 1, "--exact"),
        *("--points=-1,0.1,1", "-o", tmp_path / "c.nc"),
    )
    nnft_command(
        *("fit", tmp_path / "c.nc", "--operator", "lambda_0", "--cutoff", 10),
        *("--sampler", "conjugate", "-o", tmp_path / "f.nc"),
    )
    result = nnft_command("diagnose", tmp_path / "f.nc", code=1)
    assert "does not describe" in result.stdout
    assert "FAILED" in result.stdout


@pytest.mark.slow
def test_study_and_report(tmp_path: Path):
    (tmp_path / "toy.toml").write_text(TOY)
    arguments = ("study", tmp_path / "toy.toml", "-o", tmp_path / "run")
    found = document(*arguments)
    assert found["passed"]
    assert found["headline"].startswith("The action describes this network: ")
    assert Path(found["report"]).is_file()
    assert len(found["summary"]) == 3
    result = nnft_command("report", tmp_path / "run")
    assert f"Report: {tmp_path / 'run' / 'report.html'}" in result.stdout
    assert "reused" in nnft_command(*arguments).stderr
    assert "reused" not in nnft_command(*arguments, "--rerun").stderr


NETWORK = ("correlators", "relu-net", "--width", 4, "-o", "c.nc")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("correlators", "rleu", "--width", 4, "-o", "c.nc"), "no architecture 'rleu'"),
        (("correlators", "relu-net", "--width", 0, "-o", "c.nc"), "`--width` is 0"),
        ((*NETWORK, "--points", "a,b"), "`--points a,b`: could not convert"),
        ((*NETWORK, "--points", "1;2,3"), "the points are of different dimension"),
        ((*NETWORK, "--points", "1,1"), "is given more than once"),
        ((*NETWORK, "--points", "1", "--inputs", "x.npy"), "are both given"),
        ((*NETWORK, "--inputs", "x.npy"), "`--inputs`: cannot read 'x.npy'"),
        ((*NETWORK, "--input-dim", 9), "suggests no inputs of dimension 9"),
        ((*NETWORK, "--option", "depth"), "`--option depth` has no value"),
        ((*NETWORK, "--option", "depth=3"), r"has no option ['depth']"),
        ((*NETWORK, "--option", "a=1", "--option", "a=2"), "is given twice"),
        ((*NETWORK, "--order", 9), "order 9"),
        ((*NETWORK, "--num-draws", 3), "`--num-draws` is 3, too small"),
        ((*NETWORK, "--estimator", "magic"), "`--estimator` is 'magic'"),
        (("sample", "relu-net", "--width", 4, "-o", "no/e.nc"), "`no` is no folder"),
        (("diagnose", "none.nc"), "no file 'none.nc'"),
        (("report", "."), "holds no study: run.json cannot be read"),
    ],
)
def test_bad_input_is_refused(arguments, message: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = nnft_command(*arguments, code=2)
    assert message in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_file_of_another_kind_is_refused(folder: Path):
    result = nnft_command("diagnose", folder / "corr.nc", code=2)
    assert "holds no fit; make such a file with `nnft fit`" in result.stderr
    result = nnft_command(
        *("fit", folder / "fit.nc", "--operator", "lambda_0", "--cutoff", 1),
        *("-o", folder / "x.nc"),
        code=2,
    )
    assert "holds no correlators" in result.stderr


def test_width_takes_the_dimension_of_the_inputs_given(tmp_path: Path):
    np.save(tmp_path / "data.npy", np.array([[0.5, 1.0], [1.0, 0.2]]))
    arguments = ("relu-net", "--inputs", tmp_path / "data.npy", "--tolerance", 0.02)
    found = document("width", *arguments)
    assert found["method"] == "exact"
    # Without biases one input has 5/N.
    assert found["width"] == found["low"] == 250
    assert {row["measure"] for row in found["measures"]} == {
        "relative 4-pt function",
        "total variation distance",
    }
    text = nnft_command("width", *arguments).stdout
    assert "from width 250 on" in text


def test_width_says_where_no_width_is_enough():
    result = nnft_command("width", "correlated-net", code=2)
    assert "no width is enough" in result.output


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--tolerance", 2), "`--tolerance` is 2.0"),
        (("--input-dim", "8xx1"), "neither a whole number nor a shape"),
        (("--option", "dept=2"), r"did you mean 'depth'"),
        (("--option", "W_std=2"), r"did you mean 'weight_std'"),
    ],
    ids=str,
)
def test_width_refuses_bad_input(given, message):
    assert message in nnft_command("width", "mlp", *given, code=2).output


def data_files(folder: Path) -> tuple[object, ...]:
    """Inputs and targets of three points, of a line with a slope of 1.3."""
    x = np.array([0.3, 0.7, 1.1])
    np.save(folder / "x.npy", x)
    np.savetxt(folder / "y.csv", 1.3 * x)
    linear = ("--option", "depth=1", "--option", "activation=identity")
    data = ("--inputs", folder / "x.npy", "--targets", folder / "y.csv")
    return ("width", "mlp", *linear, *data)


def test_width_of_a_posterior(tmp_path: Path):
    command = (*data_files(tmp_path), "--noise", 0.5, "--num-draws", 20_000)
    found = document(*command, "--tolerance", 0.1, "--total-variation", 0.5)
    x = np.array([0.3, 0.7, 1.1])
    net = nnft.network("mlp", width=1, input_dim=1, depth=1, activation="identity")
    expected = nnft.posterior_width(
        net,
        x,
        1.3 * x,
        noise_std=0.5,
        total_variation=0.5,
        num_draws=20_000,
        key=jax.random.key(0),
    )
    assert (found["low"], found["width"]) == expected.interval
    assert found["binds"] == "distance of means"
    assert found["message"] == expected.message
    assert [row["width"] for row in found["widths"]] == list(expected.table.index)
    assert found["widths"][0]["mean"] == expected.table["mean"].iloc[0]
    text = nnft_command(*command, "--new", tmp_path / "x.npy").stdout
    assert "WIDTH  MEAN" in text
    assert "0.1 standard deviations (means) and 0.05 (total variation)" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "`--targets` is given without `--noise`"),
        (("--noise", 0), "`noise_std` is 0.0"),
        (("--noise", 0.1, "--groups", 2), "`--groups` is given with `--targets`"),
        (("--noise", 0.1, "--new", "no.npy"), "`--new`: cannot read 'no.npy'"),
        (("--noise", 0.1, "--targets", "no.txt"), "`--targets`: 'no.txt' is neither"),
        (("--noise", 0.1, "--targets", "two.csv"), "`--targets` has 2 columns; expect"),
        (("--noise", 0.1, "--targets", "x.npy"), "`--targets` are one file; say which"),
        (("--input-columns", "a"), "`--inputs`: 'x.npy' has no line of names"),
    ],
    ids=str,
)
def test_width_of_a_posterior_refuses_bad_input(
    tmp_path: Path, monkeypatch, given, message
):
    command = data_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("two.csv").write_text("1,2\n3,4\n")
    assert message in nnft_command(*command, *given, code=2).output


def test_columns_of_one_file_are_chosen_by_name(tmp_path: Path):
    *command, _, separate = data_files(tmp_path)
    both = tmp_path / "both.csv"
    both.write_text("x,other,y\n0.3,5,0.39\n0.7,6,0.91\n1.1,7,1.43\n")
    separate.write_text("0.39\n0.91\n1.43\n")
    rest = ("--noise", 0.5, "--num-draws", 2000)
    named = ("--input-columns", "x", "--target-columns", "y")
    command[command.index(tmp_path / "x.npy")] = both
    one = document(*command, "--targets", both, *named, *rest)
    other = document(*command, "--targets", separate, *named[:2], *rest)
    assert one == other
    asked = ("correlators", "relu-net", "--width", 20, "--num-draws", 1000)
    place = ("-o", tmp_path / "a.nc")
    nnft_command(*asked, "--inputs", both, "--input-columns", "x", *place)
    found = nnft.load(tmp_path / "a.nc")
    assert found.x[:, 0].tolist() == [0.3, 0.7, 1.1]


def test_columns_of_inputs_need_their_file():
    asked = ("width", "mlp", "--points", "1,2", "--input-columns", "x")
    assert "without `--inputs`" in nnft_command(*asked, code=2).output


def test_width_counts_a_repeated_input_once():
    once, twice = (
        document("width", "relu-net", "--points", points, "--tolerance", 0.1)
        for points in ("0.2,0.5", "0.5,0.2,0.2")
    )
    assert twice == once


def test_width_refuses_what_is_of_targets():
    result = nnft_command("width", "mlp", "--noise", 0.1, code=2)
    assert "`--noise` is given without `--targets`; give both" in result.output


def test_infinities_are_json(tmp_path: Path):
    nnft_command(
        *("correlators", "gauss-net", "--width", 1000, "--bias-std", 1, "--exact"),
        *("--points", "0.002,0.01", "-o", tmp_path / "c.nc"),
    )
    found = document(
        *("fit", tmp_path / "c.nc", "--operator", "lambda_0", "--cutoff", "inf"),
        *("--sampler", "conjugate", "-o", tmp_path / "f.nc"),
    )
    assert found["summary"][0]["cutoff"] == "inf"
    # The known coupling of this network (theory.md §4).
    assert found["summary"][0]["mean"] == pytest.approx(-5.346e-3, rel=1e-3)
