"""What every test shares. The library switches precision locally; so must a test."""

import importlib
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib.pyplot

import hypothesis
import jax
import pytest
from own_folder import own_folder
from toy_study import ALONE, TOY

from nnft_ppl.study import StudyRun, read_study, run_study

# The same cases in every run; no test is timed.
hypothesis.settings.register_profile(
    "fixed", derandomize=True, database=None, deadline=None, print_blob=False
)
hypothesis.settings.load_profile("fixed")

# A silent broadcast of (n,) against (n, 1) is a wrong number; make it an error.
jax.config.update("jax_numpy_rank_promotion", "raise")

# Tests compile the same programs over and over (each NUTS run does), so keep them, from
# one run to the next, too: compiling is half of the time.
_PROGRAMS = own_folder(
    Path(__file__).parent.parent / ".pytest_cache" / "programs", max_bytes=2 << 30
)
jax.config.update("jax_compilation_cache_dir", str(_PROGRAMS.path))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
# Commands in processes of their own leave the user's folder alone. Workers of pytest
# are such processes, too, where JAX has read it.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
jax.config.update("jax_enable_compilation_cache", True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--accelerator",
        choices=("found", "cpu"),
        help="run the tests of accelerators on the one that JAX finds, or on the CPU",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--accelerator") == "found":
        if jax.default_backend() == "cpu":
            pytest.exit(
                "JAX finds no accelerator; install it for one, such as .venv/bin/pip "
                "install -c constraints.txt -e '.[dev,cuda13]', and see nnft doctor",
                returncode=1,
            )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Mark as slow what `slow_but` does not name, before `-m` selects."""
    if config.getoption("--accelerator") is None:
        for item in items:
            if item.get_closest_marker("accelerator"):
                item.add_marker(pytest.mark.skip("make test-accelerator runs it"))
    unknown: dict[str, set[str]] = {}
    for item in items:
        mark = item.get_closest_marker("slow_but")
        if mark is None:
            continue
        name, _, case = item.nodeid.partition("[")
        case = case.removesuffix("]")
        unknown.setdefault(name, set(mark.args)).discard(case)
        if case not in mark.args:
            item.add_marker("slow")
    for name, cases in unknown.items():
        # One case asked for by name leaves out the others.
        if cases and len([i for i in items if i.nodeid.startswith(f"{name}[")]) > 1:
            raise pytest.UsageError(f"{name} has no cases {sorted(cases)}")


# Linux lets a process map 65530 pieces of memory, and ends it (a segmentation fault in
# the compiler) where JAX asks for more: a program takes about five, a contract 1300.
_MOST_MAPS = 20_000
_TESTS_BETWEEN = 16  # reading the list takes a hundredth of a second
_MAPS = Path("/proc/self/maps")
_tests_run = itertools.count(1)


def pytest_runtest_teardown() -> None:
    """Let go of compiled programs before there are too many for one process."""
    if next(_tests_run) % _TESTS_BETWEEN or not _MAPS.exists():
        return
    if _MAPS.read_bytes().count(b"\n") > _MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    """The study of toy size, run once: its folder stays as it is."""
    return _run_of(tmp_path_factory.mktemp("toy"), TOY)


@pytest.fixture(scope="session")
def toy_run_alone(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    """The same without an effective action."""
    return _run_of(tmp_path_factory.mktemp("alone"), ALONE)


def _run_of(folder: Path, text: str) -> StudyRun:
    (folder / "toy.toml").write_text(text)
    return run_study(read_study(folder / "toy.toml", directory=folder / "run"))


type InstallPlugins = Callable[..., None]


@pytest.fixture
def install_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InstallPlugins]:
    """Install throw-away distributions with entry points of the group `nnft_ppl`.

    The fixture is a function (distribution, {entry-point name: module source}, version)
    and puts what it installs on the path for this test only.
    """
    modules: list[str] = []

    def install(
        distribution: str, plugins: Mapping[str, str], version: str = "1.0"
    ) -> None:
        site = tmp_path / f"{distribution}-site"
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["[nnft_ppl]"]
        for name, source in plugins.items():
            module = re.sub(r"\W", "_", f"{distribution}__{name}")
            (site / f"{module}.py").write_text(source)
            lines.append(f"{name} = {module}")
            modules.append(module)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(site)
        importlib.invalidate_caches()

    yield install
    for module in modules:
        sys.modules.pop(module, None)
