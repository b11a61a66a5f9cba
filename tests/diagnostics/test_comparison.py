import jax
import numpy as np
import pytest

import nnft_ppl as nnft

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
        assert row["log_evidence"] == fit.log_evidence[0]
        assert row["verdict"] == fit.adequacy()["verdict"].iloc[0]


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
