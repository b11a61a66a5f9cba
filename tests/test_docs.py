"""The Python of the documentation runs as it stands."""

import pytest
from test_readme import code_blocks


@pytest.mark.parametrize(
    "page", ["operators", "comparison", "running", "function_space"]
)
def test_the_example_of_a_page_runs(page):
    (code,) = code_blocks(f"docs/{page}.md", "python")
    names = {}
    exec(compile(code, page, "exec"), names)  # our own file
    if page == "operators":
        assert names["action"].names == ("lambda_0", "soft", "kinetic")
    elif page == "comparison":
        assert names["fit"].adequacy()["verdict"][0] == "describes"
    elif page == "running":
        assert names["law"].summary()["exponent"][0] == pytest.approx(-5, abs=1e-8)
    else:
        assert (names["fit"].negative_fraction["at_mean"] == 0).all()


def test_the_examples_of_your_own_network_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they save a file
    names = {}
    for code in code_blocks("docs/your_network.md", "python"):
        exec(compile(code, "your_network", "exec"), names)  # our own file
    assert names["corr"].estimator == "conditional"
    values = names["ensemble"].values
    assert values.shape == (1000, 3, 3)
    assert (names["again"].values == values).all()
