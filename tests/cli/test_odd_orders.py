"""`nnft correlators --order 1 --order 3`, `nnft fit --operator cubic`, `diagnose`."""

import numpy as np
import pytest
from cli.commands import document, run

import nnft_ppl as nnft

X = np.linspace(-1.0, 1.0, 3)[:, None]
SHIFTED = """
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import nnft_ppl as nnft


def prior(hp):
    one = dist.Normal().expand([hp.width]).to_event(1)
    return {name: numpyro.sample(name, one) for name in ("w", "a")}


def features(params, x):
    return jnp.tanh(params["w"] * x[0])


@nnft.hookimpl
def nnft_ppl_architecture():
    return nnft.Architecture(
        name="shifted-net",
        description="a readout whose bias is 0.5",
        prior=prior,
        apply=lambda hp, p, x: (
            hp.weight_std / hp.width**0.5 * p["a"] @ features(p, x) + 0.5
        )[None],
        readout=lambda hp: nnft.Readout(
            features=features, weight_std=hp.weight_std, bias_std=0.0, bias_mean=0.5
        ),
        suggested_inputs={1: [[0.5], [1.0]]},
    )
"""


def test_a_network_with_a_mean_is_measured_with_odd_orders(
    tmp_path, monkeypatch, install_plugins
):
    monkeypatch.chdir(tmp_path)
    install_plugins("shifted", {"shifted-net": SHIFTED})
    net = ("correlators", "shifted-net", "--width", 5, "--num-draws", 3000)
    result = run(*net, "-o", "c.nc")
    assert "conditional correlators" in result.stdout
    assert "the mean at input 0 is 0.5, as the architecture says" in result.stderr
    found = nnft.load("c.nc")
    assert found.orders == (1, 2, 3, 4)
    assert (found.connected(1) == 0.5).all()
    assert not found.connected(3).any()
    plain, events = document(*net, "--order", 3, "--estimator", "moments", "-o", "p.nc")
    assert [row["order"] for row in plain["correlators"]] == [1, 2, 3]
    assert any("standard errors from zero" in str(event) for event in events)
    result = run(*net, "--order", 4, "-o", "e.nc", code=2)
    assert "ask for odd ones too" in result.output


@pytest.fixture
def draws(tmp_path, monkeypatch):
    """Each of K ξ of gamma law: skewness 1, and Gaussian noise to the covariance K."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    table = np.exp(-((X - X.T) ** 2) / 0.5)
    skewed = rng.gamma(4.0, 0.5, size=(40_000, 3))
    rest = np.linalg.cholesky(table - 0.25 * table @ table)
    noise = rng.standard_normal((40_000, 3)) @ rest.T
    np.save("draws.npy", 0.5 * skewed @ table + noise)
    np.save("x.npy", X)
    run(
        *("correlators", "--from-draws", "draws.npy", "--inputs", "x.npy"),
        *("--order", 1, "--order", 3, "-o", "corr.nc"),
    )


FIT = (
    *("fit", "corr.nc", "--measure", "empirical", "--measure-file", "x.npy"),
    *("--cutoff", 2, "--sampler", "conjugate"),
)


def test_odd_couplings_are_fitted_and_diagnosed(draws):
    both = ("--operator", "source", "--operator", "cubic")
    found, _ = document(*FIT, *both, "-o", "fit.nc")
    truth = {"source": -3 * 2.0 * 0.5, "cubic": -3 * 1.0 * 0.5**3 / 6}
    for row in found["summary"]:
        assert abs(row["mean"] - truth[row["operator"]]) < 3.5 * row["sd"]
        assert row["sd"] < 0.15 * abs(truth[row["operator"]])
    checks, _ = document("diagnose", "fit.nc", "--tolerance", 0.5)
    names = [check["name"] for check in checks["checks"]]
    assert "odd_orders" not in names
    assert checks["answers"]["Does the action fit within the noise?"].startswith("it f")


def test_a_mean_that_is_left_out_is_a_background(draws):
    found, _ = document(*FIT, "--operator", "cubic", "-o", "fit.nc")
    assert [row["operator"] for row in found["summary"]] == ["cubic"]
    assert not nnft.load("fit.nc").correlators.connected(1).any()
    result = run(*FIT, "--operator", "lambda_0", "-o", "other.nc", code=2)
    assert "needs connected correlators of order [4]" in result.output
