"""Numbers out: what other programs read is what went in, covariance included."""

import csv
import io
import json
import re

import gvar
import jax
import jsonschema
import numpy as np
import pandas as pd
import pyerrors
import pytest
from click.testing import CliRunner
from toy_study import TOY

import nnft_ppl as nnft
from nnft_ppl.cli import main
from nnft_ppl.export.as_json import SCHEMA_FILE
from nnft_ppl.export.as_latex import value_with_error
from nnft_ppl.study import read_study, run_study

POINTS = [0.3, 1.0, 2.0]


@pytest.fixture(scope="module")
def correlators() -> nnft.Correlators:
    net = nnft.network("erf-net", width=20, input_dim=1)
    return nnft.measure_correlators(
        net, POINTS, (2, 4), num_draws=2000, key=jax.random.key(1)
    )


@pytest.fixture(scope="module")
def fit(correlators: nnft.Correlators) -> nnft.CouplingFit:
    action = nnft.Action(["lambda_0", "lambda_2"])
    return nnft.fit_couplings(
        correlators,
        action,
        [2.0, 5.0],
        key=jax.random.key(0),
        sampler="conjugate",
        num_samples=200,
        num_chains=2,
    )


def draws(fit: nnft.CouplingFit, which: int) -> np.ndarray:
    """(draw, operator) of one cutoff, from the tree that ArviZ reads."""
    coupling = fit.at(fit.cutoffs[which])["posterior"]["coupling"].to_numpy()
    return coupling.reshape(-1, coupling.shape[-1])


def test_csv_holds_posterior_means_and_covariances_to_the_bit(fit):
    table = pd.read_csv(io.StringIO(nnft.to_csv(fit)))
    assert list(table["operator"]) == ["lambda_0", "lambda_2"] * 2
    for which, cutoff in enumerate(fit.cutoffs):
        rows = table[table["cutoff"] == cutoff]
        expected = draws(fit, which)
        np.testing.assert_allclose(rows["value"], expected.mean(axis=0), rtol=1e-13)
        covariance = rows[["covariance_0", "covariance_1"]].to_numpy()
        np.testing.assert_allclose(covariance, np.cov(expected.T), rtol=1e-12)
        np.testing.assert_allclose(rows["error"], expected.std(axis=0, ddof=1))


def test_csv_of_correlators_is_theirs(correlators):
    rows = list(csv.DictReader(io.StringIO(nnft.to_csv(correlators))))
    assert [row["legs"] for row in rows[:3]] == ["0 0", "0 1", "0 2"]
    values = [float(row["value"]) for row in rows]
    assert values == [*correlators.connected(2), *correlators.connected(4)]
    names = [f"covariance_{i}" for i in range(len(rows))]
    covariance = [[float(row[name]) for name in names] for row in rows]
    assert np.array_equal(covariance, correlators.joint_covariance)


@pytest.mark.parametrize("which", ["fit", "correlators", "exact"])
def test_json_is_valid_by_the_schema_that_is_shipped(which, request, correlators):
    if which == "exact":
        found = nnft.exact_correlators(correlators.network, POINTS, orders=(2, 4))
    else:
        found = request.getfixturevalue(which)
    document = json.loads(nnft.to_json(found))
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    document["blocks"][0]["numbers"][0]["error"] = -1.0
    with pytest.raises(jsonschema.ValidationError, match="not valid"):
        jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)


def test_json_comes_back_to_the_bit(correlators, fit):
    (block,) = json.loads(nnft.to_json(correlators))["blocks"]
    values = [number["value"] for number in block["numbers"]]
    assert values == [*correlators.connected(2), *correlators.connected(4)]
    assert np.array_equal(block["covariance"], correlators.joint_covariance)
    blocks = json.loads(nnft.to_json(fit))["blocks"]
    for which, found in enumerate(blocks):
        np.testing.assert_allclose(
            found["covariance"], np.cov(draws(fit, which).T), rtol=1e-12
        )


def test_an_infinite_cutoff_is_written_as_in_study_files(correlators):
    fit = nnft.fit_couplings(
        correlators,
        nnft.Action(["lambda_0"], measure=nnft.Empirical([[0.3], [1.0]])),
        [float("inf")],
        key=jax.random.key(0),
        sampler="conjugate",
        num_samples=20,
    )
    (block,) = json.loads(nnft.to_json(fit))["blocks"]
    assert block["numbers"][0]["cutoff"] == "inf"
    assert nnft.to_csv(fit).splitlines()[1].startswith("inf,lambda_0,")
    assert r"$\infty$ & $\lambda_0$" in nnft.to_latex(fit)


def test_gvar_has_values_and_covariance(fit, correlators):
    for which, cutoff in enumerate(fit.cutoffs):
        made = nnft.to_gvar(fit)[cutoff]
        expected = draws(fit, which)
        np.testing.assert_allclose(gvar.mean(made), expected.mean(axis=0))
        np.testing.assert_allclose(gvar.evalcov(made), np.cov(expected.T), rtol=1e-9)
    made = nnft.to_gvar(correlators)
    together = np.concatenate([made[2], made[4]])
    scale = np.sqrt(np.diag(correlators.joint_covariance))
    difference = gvar.evalcov(together) - correlators.joint_covariance
    assert np.abs(difference / np.outer(scale, scale)).max() < 1e-9


def test_pyerrors_has_values_and_covariance(fit, correlators):
    def covariance(observables) -> np.ndarray:
        return pyerrors.covariance(list(observables))

    for which, cutoff in enumerate(fit.cutoffs):
        made = nnft.to_pyerrors(fit)[cutoff]
        expected = draws(fit, which)
        np.testing.assert_allclose([o.value for o in made], expected.mean(axis=0))
        np.testing.assert_allclose(
            [o.dvalue for o in made], expected.std(axis=0, ddof=1)
        )
        np.testing.assert_allclose(covariance(made), np.cov(expected.T), rtol=1e-6)
    made = nnft.to_pyerrors(correlators)
    together = np.concatenate([made[2], made[4]])
    scale = np.sqrt(np.diag(correlators.joint_covariance))
    difference = covariance(together) - correlators.joint_covariance
    assert np.abs(difference / np.outer(scale, scale)).max() < 1e-9


def test_a_covariance_that_is_symmetric_but_for_rounding_reaches_pyerrors():
    rng = np.random.default_rng(0)
    table = np.exp(-(np.subtract.outer(POINTS, POINTS) ** 2))
    values = 3.0 + rng.standard_normal((4, 500, 3)) @ np.linalg.cholesky(table).T
    found = nnft.correlators_from_draws(values, POINTS, chains=True)
    assert (found.joint_covariance != found.joint_covariance.T).any()
    errors = [o.dvalue for o in nnft.to_pyerrors(found)[4]]
    np.testing.assert_allclose(errors, found.connected_error(4), rtol=1e-9)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-3.719e-5, 0.020e-5, r"$-3.719(20)\times10^{-5}$"),
        (12.34, 0.0996, "$12.34(10)$"),
        (12.34, 1.5, "$12.3(1.5)$"),
        (0.01, 0.2, "$0.01(20)$"),
        (1234567.0, 12.0, r"$1.234567(12)\times10^{6}$"),
        (2.5e-7, 0.0, r"$2.5\times10^{-7}$"),
    ],
)
def test_errors_are_in_units_of_the_last_digits(value, error, text):
    assert value_with_error(value, error) == text


def test_latex_is_a_balanced_table_with_correlations(fit):
    text = nnft.to_latex(fit)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + 4
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    for line in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert line in text.splitlines()
    for which, row in enumerate((rows[2], rows[4])):
        *_, between, own = re.findall(r"\$(-?[0-9.]+)\$", row)
        expected = np.corrcoef(draws(fit, which).T)[0, 1]
        assert float(between) == pytest.approx(expected, abs=5e-4)
        assert float(own) == 1.0


def test_too_many_numbers_are_no_table():
    net = nnft.network("relu-net", width=20, input_dim=1)
    many = nnft.exact_correlators(net, np.linspace(0.1, 1, 6), orders=(2, 4, 6))
    with pytest.raises(nnft.SpecError, match="609 connected correlators are too many"):
        nnft.to_latex(many)


@pytest.mark.parametrize(
    "write",
    [nnft.to_csv, nnft.to_json, nnft.to_latex, nnft.to_gvar, nnft.to_pyerrors],
)
def test_what_is_no_result_is_refused(write):
    with pytest.raises(nnft.SpecError, match=r"expected nnft_ppl\.CouplingFit or"):
        write({"lambda_0": 1.0})


@pytest.mark.parametrize("name", ["gvar", "pyerrors"])
def test_a_missing_extra_is_named(name, monkeypatch, fit):
    monkeypatch.setitem(__import__("sys").modules, name, None)
    write = {"gvar": nnft.to_gvar, "pyerrors": nnft.to_pyerrors}[name]
    with pytest.raises(nnft.UnavailableError, match=rf"nnft-ppl\[{name}\]"):
        write(fit)


def command(*arguments: object, code: int = 0):
    found = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert found.exit_code == code, found.output
    return found


def test_command_writes_what_the_functions_write(fit, correlators, tmp_path):
    fit.save(tmp_path / "fit.nc")
    correlators.save(tmp_path / "corr.nc")
    assert command(tmp_path / "fit.nc").stdout == nnft.to_csv(fit)
    shown = command(tmp_path / "fit.nc", "--format", "latex").stdout
    assert shown == nnft.to_latex(fit)
    wrapped = json.loads(command(tmp_path / "fit.nc", "--json").stdout)
    assert wrapped == {"format": "csv", "text": nnft.to_csv(fit)}
    out = tmp_path / "corr.json"
    command(tmp_path / "corr.nc", "--format", "json", "-o", out)
    assert out.read_text() == nnft.to_json(correlators)
    refused = command(tmp_path / "corr.nc", "-o", out, code=2)
    assert "give --force to replace it" in refused.stderr
    command(tmp_path / "corr.nc", "-o", out, "--force")
    assert out.read_text() == nnft.to_csv(correlators)


def test_command_takes_a_run_directory_and_refuses_what_holds_no_numbers(tmp_path):
    (tmp_path / "toy.toml").write_text(TOY)
    run_study(read_study(tmp_path / "toy.toml", directory=tmp_path / "run"))
    shown = command(tmp_path / "run").stdout
    assert shown == nnft.to_csv(nnft.load(tmp_path / "run" / "fit.nc"))
    alone = TOY.partition("[eft]")[0]
    (tmp_path / "alone.toml").write_text(alone)
    run_study(read_study(tmp_path / "alone.toml", directory=tmp_path / "alone"))
    refused = command(tmp_path / "alone", code=2)
    assert "fitted no couplings" in refused.stderr
    ensemble = nnft.sample_ensemble(
        nnft.network("relu-net", width=3, input_dim=1),
        [0.5],
        num_draws=10,
        key=jax.random.key(0),
    )
    ensemble.save(tmp_path / "ens.nc")
    refused = command(tmp_path / "ens.nc", code=2)
    assert "holds Ensemble; expected couplings" in refused.stderr
