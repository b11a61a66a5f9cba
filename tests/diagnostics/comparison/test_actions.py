import dataclasses

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.diagnostics.comparison import actions as comparison
from nnft_ppl.diagnostics.comparison.actions import fit_alike
from nnft_ppl.diagnostics.comparison.leave_out import leave_tuple_out
from nnft_ppl.inference.couplings.fit import infer_couplings
from nnft_ppl.inference.likelihood import build_likelihood

X = np.array([-1.2, -0.6, 0.2, 0.6, 1.0, 1.2])
NAMES = (["lambda_0"], ["lambda_0", "lambda_2"], ["lambda_0", "lambda_2", "lambda_nl"])


@pytest.fixture(scope="module")
def exact():
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
    return nnft.exact_correlators(net, X, (2, 4, 6))


def test_the_table_is_ordered_by_evidence_in_closed_form(exact):
    actions = [nnft.Action(names) for names in NAMES]
    table = nnft.compare_actions(exact, actions, 10.0)
    assert sorted(table["log_evidence"], reverse=True) == list(table["log_evidence"])
    for names in NAMES:
        fit = nnft.fit_couplings(
            exact,
            nnft.Action(names),
            [10.0],
            key=jax.random.key(1),
            sampler="conjugate",
        )
        row = table[table["action"] == " + ".join(names)].iloc[0]
        assert row["log_evidence"] == pytest.approx(fit.log_evidence[0], rel=1e-12)
        assert row["verdict"] == fit.adequacy()["verdict"].iloc[0]
        assert row["behind"] == table["log_evidence"].max() - row["log_evidence"]
    assert table["behind"].iloc[0] == 0


def test_differences_of_elpd_are_those_of_the_entries(exact):
    actions = [nnft.Action(names) for names in NAMES]
    table = nnft.compare_actions(exact, actions, 100.0).set_index("action")
    pointwise = {}
    for action in actions:
        fit = nnft.fit_couplings(
            exact, action, [100.0], key=jax.random.key(0), sampler="conjugate"
        )
        loo = leave_tuple_out(fit, 100.0)
        pointwise[" + ".join(action.names)] = np.asarray(loo.elpd_i)
    best = table["elpd"].idxmax()
    for name, row in table.iterrows():
        difference = pointwise[name] - pointwise[best]
        assert row["elpd"] == pytest.approx(pointwise[name].sum())
        assert row["elpd_diff"] == pytest.approx(difference.sum(), abs=1e-9)
        assert row["elpd_diff_se"] == pytest.approx(
            np.sqrt(len(difference) * np.var(difference)), abs=1e-9
        )
        assert row["num_high_pareto_k"] == 0


@pytest.mark.slow
def test_nested_evidence_can_be_asked_for(exact):
    actions = [nnft.Action(names) for names in NAMES[:2]]
    closed = nnft.compare_actions(exact, actions, 100.0, evidence="closed form")
    nested = nnft.compare_actions(exact, actions, 100.0, evidence="nested")
    assert (closed["log_evidence_error"] == 0).all()
    assert list(closed["action"]) == list(nested["action"])
    off = (nested["log_evidence"] - closed["log_evidence"]).abs()
    assert (off < 4 * nested["log_evidence_error"]).all()


def test_all_actions_face_the_same_noise():
    """Else their evidences would be of different data."""
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    measured = nnft.measure_correlators(
        net, X[:4], (2, 4), num_draws=20_000, key=jax.random.key(2)
    )
    actions = [nnft.Action(names) for names in NAMES]
    fits = fit_alike(measured, actions, 10.0, None)
    full = nnft.fit_couplings(
        measured, actions[-1], [10.0], key=jax.random.key(0), sampler="conjugate"
    )
    for fit in fits:
        np.testing.assert_array_equal(fit.likelihood.variance, full.likelihood.variance)
        np.testing.assert_array_equal(fit.likelihood.rotation, full.likelihood.rotation)
    assert fits[-1].log_evidence[0] == pytest.approx(full.log_evidence[0], rel=1e-9)
    alone = nnft.fit_couplings(
        measured, actions[0], [10.0], key=jax.random.key(0), sampler="conjugate"
    )
    assert not np.allclose(alone.likelihood.variance, full.likelihood.variance)


@pytest.mark.slow
def test_actions_that_are_not_linear_are_compared_by_nested_sampling(monkeypatch):
    """A quadratic term too small to matter: the closed form is known all the same."""
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    exact = nnft.exact_correlators(net, X[:4], (2, 4))
    actions = [nnft.Action(["lambda_0"]), nnft.Action(["lambda_nl"])]
    closed = nnft.compare_actions(exact, actions, 10.0).set_index("action")

    def bent(*arguments):
        likelihood = build_likelihood(*arguments)
        quadratic = np.einsum("cmi,cmj->cmij", *[1e-6 * likelihood.design] * 2)
        return dataclasses.replace(likelihood, quadratic=quadratic)

    monkeypatch.setattr(comparison, "build_likelihood", bent)
    asked = []

    def linearised(*arguments, sampler, **options):
        """Draws without the compilation of NUTS, as good where the term is small."""
        asked.append(sampler)
        return infer_couplings(*arguments, sampler="conjugate", **options)

    monkeypatch.setattr(comparison, "infer_couplings", linearised)
    nested = nnft.compare_actions(exact, actions, 10.0).set_index("action")
    assert asked == ["nuts", "nuts"]
    off = (nested["log_evidence"] - closed["log_evidence"]).abs()
    assert (nested["log_evidence_error"] > 0).all()
    assert (off < 3 * nested["log_evidence_error"]).all()
    np.testing.assert_allclose(nested["elpd"], closed["elpd"], atol=0.5)
    with pytest.raises(nnft.SpecError, match="choose evidence='auto'"):
        nnft.compare_actions(exact, actions, 10.0, evidence="closed form")


def test_more_operators_leave_less_misfit(exact):
    table = nnft.compare_actions(exact, [nnft.Action(n) for n in NAMES], 100.0)
    misfit = table.set_index("action")["discrepancy"]
    one, two, three = (misfit[" + ".join(names)] for names in NAMES)
    assert one > 0.5
    assert two < one
    assert three < 0.95 * two


def test_comparisons_that_mean_nothing_are_refused(exact):
    with pytest.raises(nnft.SpecError, match="1 actions given; comparing needs"):
        nnft.compare_actions(exact, [nnft.Action(["lambda_0"])], 10.0)
    pair = [nnft.Action(["lambda_0"]), nnft.Action(["lambda_0", "kappa"])]
    with pytest.raises(nnft.SpecError, match="evidence is of different data"):
        nnft.compare_actions(exact, pair, 10.0)
    same = [
        nnft.Action(["lambda_0", "lambda_2"]),
        nnft.Action(["lambda_2", "lambda_0"]),
    ]
    with pytest.raises(nnft.SpecError, match=r"'lambda_2'\] is given more than once"):
        nnft.compare_actions(exact, same, 10.0)
    settings = [
        nnft.Action(["lambda_0"], scheme="bare"),
        nnft.Action(["lambda_0", "lambda_2"]),
    ]
    with pytest.raises(nnft.SpecError, match="different measures or schemes"):
        nnft.compare_actions(exact, settings, 10.0)
    namesake = nnft.Operator(name="lambda_0", symbol="x", fields=(0, 0, 1, 1))
    with pytest.raises(nnft.SpecError, match="operators are all called 'lambda_0'"):
        nnft.compare_actions(
            exact,
            [nnft.Action(["lambda_0", "lambda_2"]), nnft.Action([namesake])],
            10.0,
        )
    one_and_two = [nnft.Action(names) for names in NAMES[:2]]
    with pytest.raises(nnft.SpecError, match="`evidence` is 'guess'; choose one of"):
        nnft.compare_actions(exact, one_and_two, 10.0, evidence="guess")
