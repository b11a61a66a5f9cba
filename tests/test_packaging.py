"""The wheel is whole: built offline, installed apart, run away from the repository.

`make dist` asks the registry besides: dependencies alone, in an empty environment.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

PROGRAM = """
import json, pathlib, nnft_ppl as nnft
from nnft_ppl.registry import load_registry
net = nnft.network("relu-net", width=3, input_dim=1)
print(json.dumps({
    "home": str(pathlib.Path(nnft.__file__).parent),
    "architectures": sorted(nnft.architectures()),
    "distributions": sorted({p.distribution for p in load_registry().plugins}),
    "kernel": net.kernel([1.0]).tolist(),
}))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Output of a command that must succeed, in an environment without Python's own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    run(sys.executable, *build, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_both_packages_their_types_and_the_entry_points(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        str(path.relative_to(base))
        for base, package in ((ROOT, "nnft_ppl"), (ROOT / "plugins", "."))
        for path in (base / package).rglob("*.py")
    }
    assert sources <= names
    assert {"nnft_ppl/py.typed", "nnft_ppl_architectures/py.typed"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not {n.split("/")[0] for n in names} & {"tests", "examples", "plugins"}


@pytest.mark.slow
def test_sdist_holds_what_tests_it_and_builds_the_same_wheel(wheel, tmp_path):
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path)
    run(*build, ROOT, cwd=tmp_path)  # a wheel, too, from the sdist
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("tests", "docs", "examples", "plugins"):
        here = {str(p.relative_to(ROOT)) for p in (ROOT / folder).rglob("*.??")}
        assert here, folder
        assert here <= names
    assert {"LICENSE", "README.md", "Makefile", "constraints.txt"} <= names
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.slow
def test_installed_wheel_finds_its_plugins_away_from_the_repository(wheel, tmp_path):
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(python, "-c", purelib, cwd=tmp_path).strip())
    install = ("-m", "pip", "--python", python, "install", "--no-deps", "--no-index")
    run(sys.executable, *install, wheel, cwd=tmp_path)
    # The dependencies are those of the running environment; its .pth files, and so its
    # editable installation of the repository, are not followed from here.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    found = json.loads(run(python, "-c", PROGRAM, cwd=tmp_path))
    assert Path(found["home"]).resolve() == (site / "nnft_ppl").resolve()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found["architectures"] == sorted(project["entry-points"]["nnft_ppl"])
    assert found["kernel"] == [[pytest.approx(0.5)]]
    (distribution,) = found["distributions"]
    assert distribution.replace(" ", "-").replace("nnft-ppl", "nnft_ppl") in wheel.name
