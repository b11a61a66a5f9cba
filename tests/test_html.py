"""What results look like in a notebook."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest

import nnft_ppl as nnft
from nnft_ppl._html import Html, card, listed, table


@pytest.fixture(scope="module")
def network():
    return nnft.network("relu-net", width=10, input_dim=1)


@pytest.fixture(scope="module")
def fit(network):
    corr = nnft.exact_correlators(network, [0.5, 1.0, 2.0], orders=(2, 4))
    return nnft.fit_couplings(
        corr,
        nnft.Action(["lambda_0"]),
        cutoffs=[5.0, 10.0, 20.0, 40.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )


def shown(thing):
    """The parsed card; well-formed, and nothing in it runs."""
    source = thing._repr_html_()
    assert "<script" not in source
    return source, ET.fromstring(source)


def test_a_card_escapes_all_but_what_is_html():
    source = card("<b>", [("a&b", "<i>"), ("", Html("<i>x</i>"))], "1 < 2")
    assert "&lt;b&gt;" in source
    assert "a&amp;b" in source
    assert "&lt;i&gt;" in source
    assert "<i>x</i>" in source
    assert "1 &lt; 2" in source


def test_a_table_is_escaped_and_cut():
    source = table(pd.DataFrame({"<a>": np.arange(100.0)}))
    assert "&lt;a&gt;" in source
    assert source.count("<tr") < 20
    assert listed([1.0, 2.5]) == "1, 2.5"
    assert listed(list(range(20))).endswith("(20 in all)")


def test_an_action_is_an_equation_with_its_conventions():
    action = nnft.Action(["lambda_0", "lambda_nl"])
    assert action.latex() == (
        r"S[f] = S_{\mathrm{GP}}[f] + \lambda_0\,\int_{[-\Lambda,\Lambda]^d} d^dy\,"
        r"{:}f(y)^{4}{:} + \lambda_{NL}\,\int_{[-\Lambda,\Lambda]^d} d^dy\,"
        r"\int_{[-\Lambda,\Lambda]^d} d^dy'\,{:}f(y)^{2}f(y')^{2}{:}"
    )
    equation, conventions = str(action).splitlines()
    assert equation == (
        "S[f] = S_GP[f] + λ_0 ∫_{[−Λ,Λ]ᵈ} dᵈy :f(y)⁴: + λ_NL ∫_{[−Λ,Λ]ᵈ} dᵈy "
        "∫_{[−Λ,Λ]ᵈ} dᵈy′ :f(y)²f(y′)²:"
    )
    assert "renormalised scheme" in conventions
    assert "exp(−S[f])" in conventions
    assert action._repr_latex_() == rf"$\displaystyle {action.latex()}$"
    source, root = shown(action)
    assert root.find(".//span").attrib["aria-label"] == equation
    assert "lambda_0, lambda_nl" in source


@pytest.mark.parametrize(
    ("measure", "integral"),
    [
        ("ball", "∫_{|y|≤Λ} dᵈy f(y)⁶"),
        ("gaussian", "∫ dᵈy e^(−|y|²/2Λ²) f(y)⁶"),
        (nnft.Empirical(np.ones((3, 2))), "(1/3)Σ_{y∈D_Λ} f(y)⁶"),
    ],
    ids=str,
)
def test_a_bare_action_has_no_colons_and_each_measure_its_integral(measure, integral):
    action = nnft.Action(["kappa"], measure=measure, scheme="bare")
    assert str(action).startswith(f"S[f] = S_GP[f] + κ {integral}\n")
    assert "bare scheme" in action.conventions


def test_operators_of_every_kind_are_written_out():
    across = nnft.Operator(
        name="across",
        symbol="g",
        fields=(0, 0, 1, 1),
        derivatives=(0, 1, 0, 1),
        weight=lambda y, z: np.ones(y.shape[:-1]),
    )
    own = nnft.Operator(
        name="own",
        symbol="h",
        fields=(0, 0, 0, 0),
        derivatives=(1, 1, 2, 2),
        weight=lambda y: np.exp(-np.sum(y**2, axis=-1)),
        weight_symbol="e^{-|y|^2}",
    )
    text = str(nnft.Action([across, own, "quadratic_squared", "gradient"]))
    assert "w(y,y′) :f(y)∂_af(y)f(y′)∂_af(y′):" in text
    assert "e^(−|y|²) :|∇f(y)|⁴:" in text
    assert "λ_{S²} :S_GP²:" in text
    assert ":f(y)²|∇f(y)|²:" in text


def test_results_show_what_they_are_of(network, fit):
    key = jax.random.key(1)
    things = {
        "relu-net": network,
        "Ensemble": nnft.sample_ensemble(network, [0.5], num_draws=4, key=key),
        "Correlators": fit.correlators,
        "CouplingFit": fit,
        "RunningFit": nnft.fit_running(
            fit.correlators,
            fit.action,
            fit.cutoffs,
            key=key,
            num_warmup=100,
            num_samples=100,
        ),
        "RequiredWidth": nnft.required_width(network, [0.5, 1.0], 0.1),
    }
    for name, thing in things.items():
        source, root = shown(thing)
        assert name in root.find("strong").text
        assert "relu-net" in source
    assert shown(fit)[1].find(".//span[@role='math']") is not None


def test_laws_checks_and_pairs_show_their_numbers_and_escape(network, fit):
    wide = [
        nnft.exact_correlators(replace(network, hyperparameters=hp), [0.5, 1.0])
        for hp in (replace(network.hyperparameters, width=w) for w in (5, 50))
    ]
    deep = nnft.network("mlp", width=10, input_dim=1, depth=2)
    x, y = [0.5, 1.0], [0.1, 0.2]
    law = pd.DataFrame(
        {name: [0.4, 0.1] for name in ("spread", "shift")}
        | {f"{name}_error": [0.01, 0.01] for name in ("spread", "shift")},
        index=pd.Index([10, 40], name="width"),
    )
    post = nnft.posterior(
        network, x, y, [1.5], noise_std=0.5, num_draws=200, key=jax.random.key(3)
    )
    hostile = "<script>alert(1)</script>"
    things = {
        "Falloff": (nnft.falloff(wide), "−1"),
        "EvidenceCurve": (nnft.EvidenceCurve.of([post], -1.25, 200), "-1.25"),
        "TangentKernelLaw": (nnft.TangentKernelLaw(law), "−1.00"),
        "PairCorrelators": (nnft.pair_recursion(deep, x, [[0, 1]]), "G(aabb)"),
        f"Check {hostile}": (
            nnft.Check(hostile, 0.25, 3.0, passed=False, message=hostile),
            "0.25",
        ),
    }
    for name, (thing, number) in things.items():
        source, root = shown(thing)
        assert root.find("strong").text == name
        assert number in source


def test_posteriors_trained_networks_and_searches_show_what_they_are_of(network, fit):
    key = jax.random.key(2)
    x, y = [0.5, 1.0], [0.1, 0.2]
    held_out = nnft.exact_correlators(network, [0.7, 1.5], orders=(2, 4))
    things = {
        "Posterior": nnft.posterior(
            network, x, y, [1.5], noise_std=0.5, num_draws=200, key=key
        ),
        "TrainedEnsemble": nnft.train_ensemble(
            network,
            x,
            y,
            [1.5],
            times=[2],
            num_draws=4,
            key=key,
            method="gradient_descent",
            learning_rate=0.01,
            orders=(1, 2),
        ),
        "MeasuredTangentKernel": nnft.measure_tangent_kernel(
            network, x, num_draws=20, key=key
        ),
        "ActionSearch": nnft.search_actions(
            fit.correlators, held_out, [10.0], operators=["lambda_0"]
        ),
    }
    for name, thing in things.items():
        _, root = shown(thing)
        assert root.find("strong").text == name
        assert list(root.iter("td"))
