"""What is exported for other programs changes no result, and never looks like one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from cli.commands import document, run
from click.testing import CliRunner

import nnft_ppl as nnft
from nnft_ppl._seed import seed_key
from nnft_ppl.cli import main
from nnft_ppl.cli.environment import computing, readable
from nnft_ppl.cli.options import plain
from nnft_ppl.inference.mcmc.chains import run_chains
from nnft_ppl.inference.mcmc.sampling import Sampling

SAMPLE = ("sample", "erf-net", "--width", 5, "--num-draws", 50, "--force", "-o")
MEASURE = ("correlators", "erf-net", "--width", 5, "--num-draws", 2000, "-o")


def nnft_process(*arguments, stdout=subprocess.PIPE, **environment):
    """A process of its own."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from nnft_ppl.cli import main; sys.exit(main())",
            *map(str, arguments),
        ],
        env={**os.environ, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


# --- Keys


@pytest.mark.parametrize("generator", ["rbg", "unsafe_rbg"])
def test_a_seed_gives_the_same_networks_whatever_keys_are_made_of(tmp_path, generator):
    run(*SAMPLE, tmp_path / "a.nc")
    with jax.default_prng_impl(generator):
        run(*SAMPLE, tmp_path / "b.nc")
    a, b = (nnft.load(tmp_path / f"{name}.nc").values for name in "ab")
    np.testing.assert_array_equal(a, b)


def test_a_measurement_is_extended_and_fitted_with_a_foreign_generator(tmp_path):
    data, fit = tmp_path / "c.nc", tmp_path / "f.nc"
    with jax.default_prng_impl("rbg"):
        run(*MEASURE, data)
        run(*MEASURE[:3], 5, "--extend", "2x", "-o", data)
        options = ("--operator", "lambda_0", "--cutoff", 10, "--sampler", "conjugate")
        run("fit", data, *options, "-o", fit)
    assert nnft.load(data).num_draws == 4000


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("width", "mlp", "--num-draws", 1000, "--points", "0.2,0.5,0.7,0.9"),
        ("check", "cos-net", "--num-draws", 2000),
    ],
    ids=lambda command: command[0],
)
def test_every_command_gives_the_same_with_a_foreign_generator(command):
    expected = run(*command, "--json").stdout
    with jax.default_prng_impl("rbg"):
        assert run(*command, "--json").stdout == expected
        run("doctor")


@pytest.fixture(scope="module")
def with_key():
    """Public functions that take a key, by name: called with it."""
    network = nnft.network("erf-net", width=5, input_dim=1)
    action, x = nnft.Action(["lambda_0"]), [0.5, 1.0]
    exact = nnft.exact_correlators(network, x)
    options = {"key": seed_key(0), "sampler": "conjugate", "num_samples": 5}
    fit = nnft.fit_couplings(exact, action, [10.0], **options)
    ensemble = nnft.sample_ensemble(network, x, 5, key=seed_key(0))
    data = {"x": x, "y": [0.1, 0.2], "noise_std": 0.5, "num_draws": 200}
    return {
        "compare_posteriors": lambda key: nnft.compare_posteriors(
            network, **data, x_new=[0.7], key=key
        ),
        "evidence_by_width": lambda key: nnft.evidence_by_width(
            network, [5, 9], **data, key=key
        ),
        "fit_couplings": lambda key: nnft.fit_couplings(exact, action, [10], key=key),
        "fit_function_space": lambda key: nnft.fit_function_space(
            ensemble, action, [10], key=key
        ),
        "fit_running": lambda key: nnft.fit_running(
            exact, action, [1, 2, 3, 9], key=key
        ),
        "measure_correlators": lambda key: nnft.measure_correlators(
            network, x, num_draws=5, key=key
        ),
        "measured_kernel": lambda key: nnft.measured_kernel(network, 200, key=key),
        "measure_tangent_kernel": lambda key: nnft.measure_tangent_kernel(
            network, x, num_draws=20, key=key
        ),
        "nested_evidence": lambda key: nnft.nested_evidence(fit, 10.0, key=key),
        "posterior": lambda key: nnft.posterior(network, **data, x_new=[0.7], key=key),
        "posterior_width": lambda key: nnft.posterior_width(
            network, x, [0.1, 0.2], noise_std=0.5, key=key
        ),
        "required_width": lambda key: nnft.required_width(network, x, 0.1, key=key),
        "sample_ensemble": lambda key: nnft.sample_ensemble(network, x, 5, key=key),
        "simulation_based_calibration": lambda key: nnft.simulation_based_calibration(
            exact, action, 10.0, key=key
        ),
        "tangent_kernel_by_width": lambda key: nnft.tangent_kernel_by_width(
            network, [5, 9], x, num_draws=20, key=key
        ),
        "train_ensemble": lambda key: nnft.train_ensemble(
            network, x, [0.1, 0.2], [0.7], times=[1.0], num_draws=99, key=key
        ),
        "training_by_width": lambda key: nnft.training_by_width(
            network,
            [5, 9],
            x,
            [0.1, 0.2],
            [0.7],
            times=[0, 1.0],
            num_draws=99,
            key=key,
        ),
        "testing.check_architecture": lambda key: nnft.testing.check_architecture(
            network, key=key
        ),
    }


def test_a_foreign_key_is_refused_with_the_remedy_by_all_that_take_one(with_key):
    listed = Path(__file__).parents[2] / "docs" / "api.txt"
    taking = {
        line.partition("(")[0].removeprefix("nnft_ppl.")
        for line in listed.read_text(encoding="utf-8").splitlines()
        if re.search(r"[ (]key\b(?!\.)", line) and line.startswith("nnft_ppl")
    }
    # These two are what `check_architecture` calls.
    assert taking - {"testing.check_groups", "testing.check_results"} == set(with_key)
    for made_of in ("rbg", "unsafe_rbg"):
        with jax.default_prng_impl(made_of):
            key, old = jax.random.key(0), jax.random.PRNGKey(0)
        for call in with_key.values():
            with pytest.raises(nnft.SpecError, match=f"{made_of}.*impl='threefry2x32'"):
                call(key)
            with pytest.raises(nnft.SpecError, match=r"uint32.*impl='threefry2x32'"):
                call(old)


# --- Types


def test_nuts_runs_under_strict_promotion():
    def model():
        numpyro.sample("x", dist.Normal(0.0, 2.0))

    def draws():
        with jax.enable_x64(True):
            found = run_chains(
                model,
                {"x": np.array(0.1)},
                seed_key(1),
                sampling=Sampling(20, 20, 2),
            )
            return np.asarray(found["x"])

    expected = draws()
    with jax.numpy_dtype_promotion("strict"):
        np.testing.assert_array_equal(draws(), expected)


def test_commands_promote_types_as_usual_and_leave_the_setting():
    promotion = computing(lambda: jax.config.jax_numpy_dtype_promotion)
    before = jax.config.jax_numpy_dtype_promotion
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    try:
        assert promotion() == "standard"
        assert jax.config.jax_numpy_dtype_promotion == "strict"
    finally:
        jax.config.update("jax_numpy_dtype_promotion", before)


# --- Backends


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AssertionError(), "installation lacks; unset JAX_PLATFORMS, or set it to cpu"),
        (RuntimeError("no\n'x'"), "installation lacks: no 'x'; unset JAX_PLATFORMS"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [("doctor",), ("diagnose", "fit.nc"), ("check", "erf-net"), ("report", "run")],
    ids=lambda command: command[0],
)
def test_a_backend_that_is_not_there_is_one_line(monkeypatch, command, error, expected):
    def devices():
        raise error

    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(jax, "devices", devices)
    lines = run(*command, code=2).stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("nnft: JAX does not start on JAX_PLATFORMS='cuda'")
    assert expected in lines[0]


def test_architectures_are_listed_without_a_backend(monkeypatch):
    monkeypatch.setattr(jax, "devices", None)
    assert "erf-net" in run("architectures").stdout


@pytest.mark.parametrize("platform", ["cuda", "nonsense"])
def test_a_process_without_its_backend_exits_with_bad_input(platform):
    found = nnft_process("diagnose", "fit.nc", JAX_PLATFORMS=platform)
    if found.stderr.startswith("nnft: no file"):
        pytest.skip(f"there is a {platform} device")
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert f"JAX does not start on JAX_PLATFORMS={platform!r}" in found.stderr


def test_a_device_without_memory_is_one_line(monkeypatch):
    def full():
        said = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.\n"
        raise jax.errors.JaxRuntimeError(said)

    monkeypatch.setattr("nnft_ppl.registry.load_registry", full)
    expected = (
        "nnft: out of memory: RESOURCE_EXHAUSTED: Out of memory while trying to "
        "allocate 9 bytes.{}\n"
    )
    assert run("architectures", code=2).stderr == expected.format("")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    said = " ; another device is chosen by CUDA_VISIBLE_DEVICES"
    assert run("architectures", code=2).stderr == expected.format(said)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        "JAX_DEFAULT_PRNG_IMPL=unsafe_rbg",
        "JAX_ENABLE_X64=1",
        "JAX_NUM_CPU_DEVICES=4",
        "JAX_NUMPY_DTYPE_PROMOTION=strict",
        "JAX_NUMPY_RANK_PROMOTION=raise",
        "JAX_DEBUG_NANS=1",
        "XLA_FLAGS=--xla_force_host_platform_device_count=4",
    ],
)
def test_a_setting_of_jax_changes_no_bit(tmp_path, setting):
    expected, _ = document(*MEASURE, tmp_path / "a.nc")
    name, _, value = setting.partition("=")
    found = nnft_process(*MEASURE, tmp_path / "b.nc", "--json", **{name: value})
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["correlators"] == expected["correlators"]


def test_doctor_does_not_measure_what_is_not_compiled():
    with jax.disable_jit():
        assert "JAX_DISABLE_JIT is set" in run("doctor", code=2).stderr


# --- Exit codes


def test_a_bug_has_an_exit_code_of_its_own(monkeypatch):
    def broken():
        raise ZeroDivisionError("nobody thought of it")

    monkeypatch.setattr("nnft_ppl.registry.load_registry", broken)
    lines = run("architectures", code=70).stderr.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-2] == "ZeroDivisionError: nobody thought of it"
    assert lines[-1].startswith("nnft: this is a bug")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "relu-nett"), "no architecture 'relu-nett'"),
        (("check", "relu-net", "--num-draws"), "Option '--num-draws' requires"),
        (("fit", "none.nc", "--bogus"), "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_with_json_an_error_is_an_object(arguments, message):
    command, *given = arguments
    (line,) = run(command, "--json", *given, code=2).stderr.splitlines()
    error = json.loads(line)
    assert message in error.pop("message")
    assert error == {"event": "error", "exit_code": 2}


@pytest.mark.parametrize("arguments", [("--help",), ("fit", "--help")])
def test_output_that_nobody_reads_ends_as_by_a_signal(arguments):
    read, write = os.pipe()
    os.close(read)
    try:
        found = nnft_process(*arguments, stdout=write)
    finally:
        os.close(write)
    assert (found.returncode, found.stderr) == (141, "")


# --- Letters


def printed(charset, *arguments):
    """The bytes of stdout and stderr in a terminal of this encoding."""
    runner = CliRunner(charset=charset)
    return runner.invoke(main, [str(a) for a in arguments]).output_bytes


def test_an_ascii_locale_prints_utf8():
    assert "  --weight-std FLOAT        σ_W." in printed(
        "ascii", "sample", "--help"
    ).decode("utf-8")
    assert "no file 'naïveλ.nc'".encode() in printed("ascii", "diagnose", "naïveλ.nc")


def test_an_encoding_without_a_letter_prints_its_name():
    found = printed("latin-1", "diagnose", "naïveλ.nc").decode("latin-1")
    assert r"naïve\N{GREEK SMALL LETTER LAMDA}.nc" in found


@pytest.mark.parametrize("charset", ["ascii", "utf-8", "latin-1"])
def test_a_name_that_could_not_be_decoded_is_printed_byte_by_byte(charset):
    raw = "naïve.nc".encode()
    name = raw.decode("ascii", "surrogateescape")
    assert raw in printed(charset, "diagnose", name)
    assert readable(repr(name)) == f"'{name}'"


def test_json_is_ascii_and_knows_the_name(tmp_path):
    output = tmp_path / "naïve.nc"
    found = run(*SAMPLE, output, "--json").stdout
    assert found.isascii()
    assert json.loads(found)["output"] == str(output)
    undecoded = "naïve.nc".encode().decode("ascii", "surrogateescape")
    assert plain(Path(undecoded)) == "naïve.nc"


def test_letters_that_the_file_system_lacks_are_one_line(monkeypatch):
    def unnamed():
        "é".encode("ascii")

    monkeypatch.setattr("nnft_ppl.registry.load_registry", unnamed)
    assert run("architectures", code=2).stderr == (
        "nnft: 'é' has letters that the locale's encoding ascii lacks; set "
        "LC_ALL=C.UTF-8 or PYTHONUTF8=1\n"
    )


def test_a_user_without_a_home_gets_one(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("HOME", "")  # what is set in its place is undone
    monkeypatch.setattr(Path, "home", home)
    assert computing(lambda: os.environ["HOME"])() == os.sep
