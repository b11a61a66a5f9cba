"""The Python of the documentation runs as it stands."""

import ast
import re
import socket
import subprocess
import sys

import numpy as np
import pytest
import yaml
from test_readme import ROOT, code_blocks

import nnft_ppl as nnft


def test_the_example_of_diagrams_runs_and_its_figures_are_what_it_draws(capsys):
    names = {"__name__": "diagrams"}
    for code in code_blocks("docs/diagrams.md", "python"):
        exec(compile(code, "diagrams", "exec"), names)  # our own file
    printed = capsys.readouterr().out.splitlines()
    shown = "".join(code_blocks("docs/diagrams.md", "text")).splitlines()
    assert len(shown) == 3
    assert [line for line in shown if line not in printed] == []
    for name, diagram in names["figures"].items():
        kept = (ROOT / "docs" / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        numbers, words = r"-?\d+\.?\d*", diagram.to_svg()
        assert re.sub(numbers, "", kept.strip()) == re.sub(numbers, "", words)
        assert [float(n) for n in re.findall(numbers, kept)] == pytest.approx(
            [float(n) for n in re.findall(numbers, words)], abs=1.0
        )


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
    fit = names["fit"].summary().iloc[0]
    assert abs(fit["mean"]) > 3 * fit["sd"]  # with the measured kernel


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
def test_the_examples_of_a_network_in_a_model_run():
    names = {}
    for code in code_blocks("docs/numpyro.md", "python"):
        exec(compile(code, "numpyro", "exec"), names)  # our own file
    # Exact, by importance sampling: see tests/test_parameters.py.
    for outputs in (names["outputs"], names["again"]):
        assert outputs.shape == (400, 3, 1)
        assert outputs[:, 1].mean() == pytest.approx(-0.049, abs=0.06)
        assert outputs[:, 1].std() == pytest.approx(0.217, rel=0.25)
    assert names["means"].shape == names["scales"].shape == (100, 3, 1)


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


def test_the_examples_of_files_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # they save a file
    names = {}
    for code in code_blocks("docs/files.md", "python"):
        exec(compile(code, "files", "exec"), names)  # our own file
    values = names["corr"].connected(4)
    assert (names["again"].connected(4) == values).all()
    two, error = names["corr"].connected(2)[0], names["corr"].connected_error(2)[0]
    assert capsys.readouterr().out == (
        f"{values}\ncorrelators 20 {nnft.__version__}\n"
        f"2 0 0 {two} {error}\nconnected correlators 20\n"
    )


def test_the_examples_of_figures_run(capsys):
    names = {}
    for code in code_blocks("docs/figures.md", "python"):
        exec(compile(code, "figures", "exec"), names)  # our own file
    found = names["found"]
    assert abs(found.exponent + 1) < 4 * found.exponent_error
    assert isinstance(found, nnft.Falloff)
    assert capsys.readouterr().out == f"{found.message}\n"
    assert names["picture"].startswith(b"<?xml")


@pytest.mark.slow
def test_the_example_of_the_width_runs():
    names = {}
    for code in code_blocks("docs/width.md", "python"):
        exec(compile(code, "width", "exec"), names)  # our own file
    assert names["result"].method == "recursion"
    low, high = names["result"].interval
    assert 0 < low <= names["result"].width <= high


@pytest.mark.slow
def test_the_methods_beside_the_exact_posterior_run():
    names = {}
    for code in code_blocks("docs/posterior_methods.md", "python"):
        exec(compile(code, "posterior_methods", "exec"), names)  # our own file
    distance = names["compared"].table()["mean_distance"].to_numpy()
    np.testing.assert_allclose(distance, [0.0502, 0.0116, 0], atol=0.007)
    assert names["curve"].prefers_finite_width is False
    expected = [-5.457, -4.945, -4.834, -4.8169]
    found = names["curve"].table
    assert (abs(found["log_evidence"] - expected) < 4 * found["error"]).all()


@pytest.mark.slow
def test_the_examples_of_the_posterior_run():
    names = {}
    for code in code_blocks("docs/posterior.md", "python"):
        exec(compile(code, "posterior", "exec"), names)  # our own file
    post, tempered, chained = names["post"], names["tempered"], names["chained"]
    assert (post.method, tempered.method, chained.method) == ("weights", "smc", "nuts")
    # As in the table of that page.
    assert post.mean == pytest.approx([-0.3061, 0.3439, 0.2110], abs=0.002)
    assert post.log_evidence == pytest.approx(-4.942, abs=0.006)
    low, width = names["wide"].interval
    assert 17 <= low <= width <= 19
    assert names["wide"].binds == "total variation distance"
    assert abs(post.log_evidence - tempered.log_evidence) < 0.2
    for other in (tempered, chained):
        error = np.hypot(post.mean_error, other.mean_error)
        assert (abs(post.mean - other.mean) < 5 * error).all()
    # A label of 1 is where the target is positive.
    chance = names["jax"].nn.sigmoid(names["mcmc"].get_samples()["field"]).mean(axis=0)
    assert chance[names["y"] > 0].mean() > 0.5 > chance[names["y"] < 0].mean()


def test_the_examples_of_draws_run():
    names = {}
    for code in code_blocks("docs/draws.md", "python"):
        exec(compile(code, "draws", "exec"), names)  # our own file
    corr, slow, one = names["corr"], names["slow"], names["one"]
    assert abs(corr.connected(4)[0] + 1.2) < 4 * corr.connected_error(4)[0]
    assert slow.autocorrelation[1] == pytest.approx(4.5, rel=0.15)
    assert slow.autocorrelation[2] == pytest.approx(2.28, rel=0.15)
    assert one.connected_error(1)[0] == pytest.approx(names["theirs"].dvalue, rel=1e-9)
    assert [t.passed for t in nnft.sign_symmetry(corr)] == [False, True, False]
    # A negative κ₄ makes a positive coupling, by either propagator.
    for fit in (names["fit"], names["there"]):
        row = fit.summary().iloc[0]
        assert row["mean"] > 2 * row["sd"]
        assert row["verdict"] != "undetermined"


@pytest.mark.slow
def test_the_examples_of_training_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in code_blocks("docs/training.md", "python"):
        exec(compile(code, "training", "exec"), names)  # our own file
    trained, wandered, exact = names["trained"], names["wandered"], names["exact"]
    assert (abs(trained.mean - trained.prediction.mean) < 0.15).all()
    error = np.hypot(wandered.mean_error[0, :, 0], exact.mean_error)
    assert (abs(wandered.mean[0, :, 0] - exact.mean) < 4 * error).all()
    assert abs(names["law"].spread_exponent[0] + 1) < 0.15


@pytest.mark.slow
def test_the_examples_of_the_cluster_run(tmp_path):
    by_dask, joined = code_blocks("docs/cluster.md", "python")
    names = {}
    exec(compile(by_dask, "cluster", "exec"), names)  # our own file
    assert names["there"].num_draws == 400_000

    (tmp_path / "measure.py").write_text(joined, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    processes = [
        subprocess.Popen(
            [sys.executable, "measure.py", address, "2", str(rank), "corr"],
            cwd=tmp_path,
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    corr = nnft.load(tmp_path / "corr.nc")
    assert (corr.connected(4) == names["here"].connected(4)).all()


def test_every_path_that_a_page_names_is_there():
    for page in (
        "docs/architecture.md",
        "docs/conventions.md",
        "docs/files.md",
        "CONTRIBUTING.md",
    ):
        text = (ROOT / page).read_text(encoding="utf-8")
        named = re.findall(
            r"`((?:nnft_ppl|plugins|tests|docs|examples)/[\w./-]*)`", text
        )
        assert named, page
        missing = [path for path in named if not (ROOT / path).exists()]
        assert not missing, f"{page} names {missing}"


def test_every_convention_is_checked_by_a_test_that_is_there():
    text = (ROOT / "docs/conventions.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if "`tests/" in line and line[0] == "|"]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(tests/[\w./]+)`, ([^;|]+?) ?[;|]", row)
        assert named, row
        for path, words in named:
            name = f"def test_{words.replace(' ', '_')}("
            assert name in (ROOT / path).read_text(encoding="utf-8"), words


def test_conventions_and_their_tests_are_listed_once():
    theory = (ROOT / "docs/theory.md").read_text(encoding="utf-8")
    assert "[conventions.md](conventions.md)" in theory
    assert "`tests/" not in theory


def test_every_folder_of_the_package_is_described():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    folders = {
        str(path.parent.relative_to(ROOT))
        for path in (ROOT / "nnft_ppl").rglob("__init__.py")
    }
    assert {folder for folder in folders if f"`{folder}/`" not in text} == set()


def test_the_example_of_the_priors_runs(capsys):
    names = {}
    (code,) = code_blocks("docs/priors.md", "python")
    exec(compile(code, "priors", "exec"), names)  # our own file
    failing = {c.name for c in names["nnft"].diagnose(names["narrow"]) if not c.passed}
    assert "prior" in failing
    assert "17 standard deviations" in capsys.readouterr().out
    mean = 20 * names["wide"].dimensionless.mean(axis=(0, 1, 2))
    assert mean == pytest.approx([-5.0], abs=1e-4)  # 12.5 of theory.md §5 in its units


def test_the_tour_runs():
    names = {}
    for code in code_blocks("docs/tour.md", "python"):
        exec(compile(code, "tour", "exec"), names)  # our own file
    z, weight = np.polynomial.hermite_e.hermegauss(60)
    u, v = np.meshgrid(z, z, indexing="ij")  # variances 1 and 2, covariance 0.5
    v = 0.5 * u + (2 - 0.5**2) ** 0.5 * v
    product = u * v / (1 + np.exp(-u)) / (1 + np.exp(-v))
    expected = weight @ product @ weight / (2 * np.pi)
    found = nnft.activations.mean_product(names["swish"], 1.0, 2.0, 0.5)
    # Outside x64 it is a sum of float32.
    assert float(found) == pytest.approx(expected, rel=2e-5)
    # Two routes to one G2, entries (0, 1) and (0, 2).
    np.testing.assert_allclose(
        names["pairs"].two_point[:, 1], names["theory"].moment(2)[1:3], rtol=1e-6
    )
    assert names["measured"].num_draws < 100_000
    for row in names["fit"].summary().to_dict("records"):
        assert row["mean"] < 0 < row["sd"]
    assert names["ranks"]["uniformity/dimensionless"].item() > 1e-3


RUN = {
    "README.md",  # by test_readme.py
    "docs/architectures.md",
    "docs/cluster.md",
    "docs/comparison.md",
    "docs/diagrams.md",
    "docs/differences.md",  # by test_reading_pages.py
    "docs/draws.md",
    "docs/faq.md",  # by test_reading_pages.py
    "docs/figures.md",
    "docs/files.md",
    "docs/function_space.md",
    "docs/numbers.md",  # by test_numbers_page.py
    "docs/numpyro.md",
    "docs/operators.md",
    "docs/papers.md",  # by test_reading_pages.py
    "docs/performance.md",
    "docs/plugins.md",  # by test_new_plugin.py
    "docs/posterior.md",
    "docs/posterior_methods.md",
    "docs/priors.md",
    "docs/running.md",
    "docs/tour.md",
    "docs/training.md",
    "docs/tutorial.md",  # by test_site.py
    "docs/width.md",
    "docs/your_network.md",
}
"""Pages whose Python is run, by this file where no other is named."""


def pages():
    return {
        "README.md",
        *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
    }


def test_the_python_of_every_page_is_run():
    assert {page for page in pages() if code_blocks(page, "python")} == RUN


def public_names(code):
    """What a piece of Python uses of the package: nnft.X, or from nnft_ppl import X."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found |= {node.attr} if node.value.id == "nnft" else set()
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            package, _, inner = node.module.partition(".")
            if package == "nnft_ppl":
                found |= {inner} if inner else {alias.name for alias in node.names}
    return found


def test_every_public_name_is_in_code_that_runs():
    used = set()
    for page in RUN:
        for code in code_blocks(page, "python"):
            used |= public_names(code)
    missing = set(nnft.__all__) - used
    assert not missing, f"in no example that runs: {sorted(missing)}"


def test_every_public_name_says_what_it_is():
    public = {name: getattr(nnft, name) for name in nnft.__all__ if name[0] != "_"}
    silent = {
        name
        for name, value in public.items()
        # A dataclass without a docstring gets its signature for one.
        if not value.__doc__ or value.__doc__.startswith(f"{name}(")
    }
    assert not silent


COMMUNITY = ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md")


@pytest.mark.parametrize("page", sorted({*pages(), *COMMUNITY}))
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
        if "://" not in link:
            assert ((ROOT / page).parent / link).exists(), link


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    citation = yaml.safe_load(text)
    assert citation["version"] == nnft.__version__
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    page = (ROOT / "docs/citing.md").read_text(encoding="utf-8")
    assert f"version = {{{nnft.__version__}}}" in page
    (paper,) = citation["references"]
    assert paper["title"] in page
