"""The Python of the documentation runs as it stands."""

import re

import pytest
from test_readme import ROOT, code_blocks


@pytest.mark.slow_but("operators")
@pytest.mark.parametrize(
    "page", ["operators", "comparison", "running", "function_space"]
)
def test_the_example_of_a_page_runs(page):
    names = {}
    for code in code_blocks(f"docs/{page}.md", "python"):
        exec(compile(code, page, "exec"), names)  # our own file
    if page == "operators":
        assert names["action"].names == ("lambda_0", "soft", "kinetic")
        assert names["fit"].action.measure.rate == 2
    elif page == "comparison":
        assert names["fit"].adequacy()["verdict"][0] == "describes"
    elif page == "running":
        assert names["law"].summary()["exponent"][0] == pytest.approx(-5, abs=1e-8)
    else:
        assert (names["fit"].negative_fraction["at_mean"] == 0).all()


@pytest.mark.slow
def test_the_examples_of_your_own_network_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they save a file
    names = {}
    for code in code_blocks("docs/your_network.md", "python"):
        exec(compile(code, "your_network", "exec"), names)  # our own file
    assert names["corr"].estimator == "conditional"
    values = names["ensemble"].values
    assert values.shape == (1000, 3, 3)
    assert (names["again"].values == values).all()


@pytest.mark.slow
def test_the_examples_of_the_architectures_run():
    names = {}
    for code in code_blocks("docs/architectures.md", "python"):
        exec(compile(code, "architectures", "exec"), names)  # our own file
    theory, measured = names["theory"], names["measured"]
    gap = theory.connected(4) - measured.connected(4)
    left_out = names["nnft"].recursion_error(theory)[4]
    assert (abs(gap) < 5 * measured.connected_error(4) + 5 * left_out).all()
    assert names["exact"].is_exact
    # Two outputs, each twice or one four times: nothing else survives.
    legs = names["corr"].legs[names["corr"].entries(4)][:, :, 1]
    odd = legs.sum(axis=1) % 2 == 1
    assert (names["corr"].connected(4)[odd] == 0).all()
    assert (names["corr"].connected(4)[~odd] != 0).all()


@pytest.mark.slow
def test_the_example_of_performance_runs(capsys):
    names = {}
    (code,) = code_blocks("docs/performance.md", "python")
    exec(compile(code, "performance", "exec"), names)  # our own file
    corr = names["corr"]
    assert capsys.readouterr().out == f"{corr.num_draws:,} networks\n"
    error, value = corr.connected_error(4), corr.connected(4)
    assert (error**2).mean() < (0.012**2) * (value**2).mean()
    assert corr.num_draws < 10**6


@pytest.mark.slow
def test_the_example_of_the_width_runs():
    names = {}
    for code in code_blocks("docs/width.md", "python"):
        exec(compile(code, "width", "exec"), names)  # our own file
    assert names["result"].method == "recursion"
    low, high = names["result"].interval
    assert 0 < low <= names["result"].width <= high


def test_every_path_that_a_page_names_is_there():
    for page in ("docs/architecture.md",):
        text = (ROOT / page).read_text(encoding="utf-8")
        named = re.findall(
            r"`((?:nnft_ppl|plugins|tests|docs|examples)/[\w./-]*)`", text
        )
        assert named, page
        missing = [path for path in named if not (ROOT / path).exists()]
        assert not missing, f"{page} names {missing}"


def test_every_folder_of_the_package_is_described():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    folders = {
        str(path.parent.relative_to(ROOT))
        for path in (ROOT / "nnft_ppl").rglob("__init__.py")
    }
    assert {folder for folder in folders if f"`{folder}/`" not in text} == set()
