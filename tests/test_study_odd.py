"""Studies of networks and draws without the symmetry f → −f."""

from math import factorial

import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.study import read_study, run_study
from nnft_ppl.study.orders import ALL, EVEN

SKEWED = """
from math import factorial

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import nnft_ppl as nnft


def prior(hp):
    return {
        "w": numpyro.sample("w", dist.Normal().expand([hp.width, 1]).to_event(2)),
        "a": numpyro.sample("a", dist.Exponential(1.0).expand([hp.width]).to_event(1)),
    }


def features(params, x):
    return jnp.tanh(params["w"] @ x + 0.5)


@nnft.hookimpl
def nnft_ppl_architecture():
    law = lambda k: factorial(k) / 2 ** (k / 2)
    return nnft.Architecture(
        name="positive-net",
        description="positive output weights",
        prior=prior,
        apply=lambda hp, p, x: (
            hp.weight_std / (2 * hp.width) ** 0.5 * p["a"] @ features(p, x)
        )[None],
        readout=lambda hp: nnft.Readout(
            features=features,
            weight_std=hp.weight_std,
            bias_std=0.0,
            weight_moment=law,
            odd_weight_moment=law,
        ),
        suggested_inputs={1: [[0.5], [1.0]]},
    )
"""
NETWORK = """
[network]
architecture = "positive-net"
widths = [4]
[ensemble]
num_draws = 3000
"""
FIT = """
[eft]
operators = ["source", "cubic"]
cutoffs = [2]
sampler = "conjugate"
num_samples = 300
num_chains = 2
"""
X = np.linspace(-1.0, 1.0, 3)[:, None]
STRENGTH, SHAPE = 0.5, 4.0
DRAWS = f"""
[inputs]
points = {X.ravel().tolist()}
[ensemble]
file = "draws.npy"
"""
EMPIRICAL = 'measure = "empirical"\nmeasure_file = "x.npy"\n'


def read(folder, text):
    (folder / "own.toml").write_text(text)
    return read_study(folder / "own.toml")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_network_without_the_symmetry_is_measured_with_all_orders(
    folder, install_plugins
):
    install_plugins("positive", {"positive-net": SKEWED})
    study = read(folder, NETWORK)
    assert study.ensemble.orders == ALL
    page = run_study(study).report.read_text(encoding="utf-8")
    assert "Are f and −f alike?" in page
    assert "f and −f are not alike: the mean" in page
    assert page.count("<td>connected 3-point function</td>") == len(study.widths)
    assert '<th class="n">6-point</th>' in page
    assert '<th class="n">5-point</th>' not in page
    with pytest.raises(nnft.UnavailableError, match=r"`ensemble.orders`: .* odd ones"):
        read(folder, NETWORK + "orders = [2, 4]\n")


@pytest.mark.slow_but("default")
@pytest.mark.parametrize(
    "orders", [pytest.param("", id="default"), pytest.param("[1, 3]", id="odd")]
)
def test_couplings_of_draws_with_a_known_action_are_found(folder, orders):
    """f = c K ξ + η, ξ of gamma law: g = −n κ_k c^k/k! over the empirical measure."""
    rng = np.random.default_rng(3)
    kernel = np.exp(-((X - X.T) ** 2) / 0.5)
    skewed = rng.gamma(SHAPE, SHAPE**-0.5, size=(40_000, 3))
    rest = np.linalg.cholesky(kernel - STRENGTH**2 * kernel @ kernel)
    noise = rng.standard_normal((40_000, 3)) @ rest.T
    np.save("draws.npy", STRENGTH * skewed @ kernel + noise)
    np.save("x.npy", X)
    text = DRAWS + (f"orders = {orders}\n" if orders else "") + FIT + EMPIRICAL
    study = read(folder, text)
    assert study.ensemble.orders == ALL
    assert "orders" not in study.record()["ensemble"]
    run = run_study(study)
    table = nnft.load(run.directory / "fit.nc").summary().set_index("operator")
    for name, k, cumulant in (("source", 1, SHAPE**0.5), ("cubic", 3, 2 / SHAPE**0.5)):
        truth = -len(X) * cumulant * STRENGTH**k / factorial(k)
        assert abs(table.loc[name, "mean"] - truth) < 3.5 * table.loc[name, "sd"]
        assert table.loc[name, "sd"] < 0.2 * abs(truth)
    page = run.report.read_text(encoding="utf-8")
    assert "fitted to the mean and the connected 3-point function" in page
    rows = page.partition("<h3>Odd functions</h3>")[2].partition("</table>")[0]
    assert rows.count("<td>fitted</td>") == len(("mean", "order 3"))
    assert rows.count("<td>predicted</td>") == len(("order 5",))
    assert 'alt="5-point function, entry by entry' in page
    assert (run.directory / "figures" / "odd.png").exists()
    assert "with odd operators the intervals leave out what such terms add" in page


@pytest.mark.slow
def test_a_symmetric_network_says_so_on_its_page(folder):
    network = NETWORK.replace("positive-net", "relu-net")
    assert read(folder, network).ensemble.orders == EVEN
    study = read(folder, network + "orders = [3]\n")
    assert study.record()["ensemble"]["orders"] == list(ALL)
    page = run_study(study).report.read_text(encoding="utf-8")
    assert "All odd functions vanish by the symmetry of relu-net." in page


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            FIT,
            r"`eft.operators` are .* `ensemble.orders` are \[2, 4, 6\]; add \[1, 3\]",
        ),
        (
            "orders = [1]\n" + FIT,
            r"order \[1, 3\] of 'relu-net' vanish by its symmetry",
        ),
        ("orders = [9]\n", r"`ensemble.orders`: order 9 in `orders`"),
        ("orders = 3\n", r"`ensemble.orders` is 3; expected a non-empty list"),
        (
            'orders = [1]\nestimator = "moments"\n'
            + FIT
            + 'candidates = [["lambda_0"], ["cubic"]]\n',
            "the same numbers of fields",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_anything_is_drawn(folder, text, match):
    network = NETWORK.replace("positive-net", "relu-net").replace("widths", "#")
    network = network.replace("[ensemble]", "width = 5\n[ensemble]")
    with pytest.raises(nnft.SpecError, match=match):
        read(folder, network + text)


def test_a_mean_that_is_known_is_not_zero():
    """A value without an error is no symmetry: p is 0, not 1."""
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((2000, 2)) + 0.5
    found = nnft.correlators_from_draws(draws, X[:2], (1, 2, 3))
    covariance = found.joint_covariance.copy()
    covariance[:2] = covariance[:, :2] = 0.0
    known = nnft.Correlators(**{**vars(found), "joint_covariance": covariance})
    mean, third, both = nnft.sign_symmetry(known)
    assert (mean.value, mean.passed, both.passed) == (0.0, False, False)
    assert third.passed
    assert "not zero" in mean.message
