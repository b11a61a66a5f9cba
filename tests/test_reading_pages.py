"""The Python of the pages that are read beside the paper and by newcomers."""

import numpy as np
import pytest
from oracles import paper_code
from test_readme import code_blocks


def run(page):
    names = {}
    for code in code_blocks(f"docs/{page}.md", "python"):
        exec(compile(code, page, "exec"), names)  # our own file
    return names


@pytest.mark.slow
def test_differences_from_the_paper_s_code_have_the_factors_that_are_told():
    names = run("differences")
    np.testing.assert_allclose(names["ours"], -12.5 / 20 / 100**5, rtol=1e-8)
    rg = paper_code.rg_couplings([100.0])[0]
    np.testing.assert_allclose(names["rg"], rg, rtol=1e-7)
    assert rg.mean() / names["ours"].mean() == pytest.approx(-6.6, abs=0.05)
    fitted = [
        paper_code.fitted_coupling("relu", 20, 100.0, 0.0, 1.0),
        paper_code.fitted_coupling("erf", 5, 100.0, 1.0, 0.01),
    ]
    np.testing.assert_allclose(names["fitted"], fitted, rtol=1e-7)
    assert fitted[0] / names["ours"].mean() == pytest.approx(-1.25, rel=1e-7)
    assert names["rg_slope"] == pytest.approx(paper_code.rg_slope(), abs=1e-6)
    gaussian, term = names["gaussian"], names["wrong"]
    truth = names["gaussian"] + names["lambda_term"] + 82.5 / 400 * np.prod(names["x"])
    assert (gaussian + term) / truth == pytest.approx(paper_code.six_point_prediction())
    assert names["wrong"] / names["lambda_term"] == pytest.approx(61 / 60)
    for dim, size in names["factor"].items():
        assert size == pytest.approx(paper_code.gauss_normalisation(dim))
    # Six inputs of one Gaussian-like field are about one; ten blocks: χ² of nine.
    ratio = names["background"] / paper_code.block_background()
    assert ratio == pytest.approx(1, abs=3 / 18**0.5)
    assert names["found"] == pytest.approx(0.93, abs=0.005)
    assert names["share"] == pytest.approx(0.01, abs=0.002)


@pytest.mark.slow
def test_answers_to_questions_are_what_the_code_gives():
    names = run("faq")
    assert (abs(names["pull"]) < 4).all()
    row = names["fit"].adequacy().iloc[0]
    assert row["verdict"] == "undetermined"
    coupling = names["fit"].summary().iloc[0]
    assert coupling["mean"] < -3 * coupling["sd"]
    conditional, plain = (c.connected_error(4)[0] for c in names["both"])
    assert conditional < plain / 100
    diagonal = np.diagonal(names["flat"] @ names["flat"].T)
    assert (diagonal > 0).all()
    post, net = names["post"], names["net"]
    kernel = net.kernel(names["x"]) + names["noise"]
    limit = net.kernel(names["x_new"], names["x"]) @ np.linalg.solve(kernel, names["y"])
    assert (abs(post.mean - limit) < 0.05).all()  # width 50


@pytest.mark.slow
def test_papers_are_redone_as_told():
    names = run("papers")
    exponent, error = names["law"].spread_exponent
    assert abs(exponent + 1) < 4 * error < 0.8
    np.testing.assert_allclose(names["growth"], [0.05, 0.10, 0.15], rtol=1e-6)
    assert names["kurtosis"] == pytest.approx(6.75, abs=0.3)
    assert "constant" in names["sentence"]
    assert all(test.passed for test in names["signs"])
    assert names["limit"] == pytest.approx(0.5, abs=0.08)
    low, best, high = names["variance"]
    assert best < min(low, high)
    assert best == pytest.approx(3 / 8 / 100)  # 3 E cos⁴ − 3 (E cos²)² at σ_W = 1
