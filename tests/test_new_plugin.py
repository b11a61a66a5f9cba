"""A new plugin is whole: written, installed in an environment of its own, and used."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_readme import code_blocks

import nnft_ppl as nnft
from nnft_ppl import SpecError
from nnft_ppl.cli import main
from nnft_ppl.new_plugin import PluginNames, plugin_names, writing

ROOT = Path(__file__).parent.parent
PAGE = "docs/plugins.md"
MY_NET = PluginNames("my-net", "my_net", "nnft-my-net")


class Environment:
    """A fresh virtual environment that holds the wheel of nnft_ppl.

    Dependencies and tools are those of the running environment, read through a .pth
    file; that file's own .pth files, and with them the editable installation of the
    repository, are not followed. Nothing is asked of the network.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "environment"
        self.variables = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PYTHON", "PYTEST", "JAX", "PIP"))
        } | {
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # the variable that means --no-…
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTEST_ADDOPTS": "-p no:cacheprovider -W error",
            "JAX_COMPILATION_CACHE_DIR": str(folder / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        here = (sys.executable, "-m")
        build = ("build", "--wheel", "--no-isolation", "--outdir", str(folder))
        self.run(*here, *build, str(ROOT), cwd=folder)
        self.run(*here, "venv", "--without-pip", str(self.folder), cwd=folder)
        scripts = self.folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = str(scripts / "python")
        self.nnft = str(scripts / "nnft")
        (wheel,) = folder.glob("*.whl")
        install = ("pip", "--python", self.python, "install", "--no-deps", str(wheel))
        self.run(*here, *install, cwd=folder)
        purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = Path(self.run(self.python, "-c", purelib, cwd=folder).strip())
        (site / "other.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(self, *command: str, cwd: Path, code: int = 0) -> str:
        """Output of a command that must end with this exit code."""
        done = subprocess.run(
            command, cwd=cwd, env=self.variables, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def shell(self, lines: str, cwd: Path) -> tuple[str, Path]:
        """Output of lines as a user types them, and the folder they end in."""
        output = ""
        for line in lines.splitlines():
            first, *rest = shlex.split(line, comments=True)
            if first == "cd":
                cwd = cwd / rest[0]
                continue
            program = {
                "nnft": [self.nnft],
                "python": [self.python],
                "pip": [self.python, "-m", "pip"],
                "pytest": [self.python, "-m", "pytest"],
            }[first]
            output += self.run(*program, *rest, cwd=cwd)
        return output, cwd


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    return Environment(tmp_path_factory.mktemp("new_plugin"))


def next_commands(output: str) -> str:
    """What `nnft new-plugin` tells to do next."""
    listed = output.partition("Next:\n")[2].partition("\nThen")[0]
    return "\n".join(line.strip() for line in listed.splitlines())


def text_block(content: str) -> str:
    """The output that the page shows, with these words in it."""
    (block,) = (b for b in code_blocks(PAGE, "text") if content in b)
    return block


@pytest.mark.slow
def test_the_page_holds_from_an_empty_folder(environment, tmp_path):
    """Its commands as they stand, its blocks where it says that they go."""
    begin, right, used, shared = code_blocks(PAGE, "console")
    source, tests, use, _ = code_blocks(PAGE, "python")
    output, folder = environment.shell(begin, tmp_path)
    assert folder == tmp_path / "rbf-net"
    assert next_commands(output) == begin.partition("\n")[2].rstrip()
    assert re.search(r"passes \d+ checks", output)
    assert "2 passed" in output
    again = (environment.nnft, "new-plugin", "rbf-net")
    taken = environment.run(*again, cwd=folder, code=2)
    assert "installed plugin of nnft-rbf-net" in taken

    module = folder / "src" / "rbf_net" / "__init__.py"
    (folder / "tests" / "test_architecture.py").write_text(tests)
    scale = " / hp.width**0.5"  # the mistake that the page tells to make
    assert source.count(scale) == 1
    module.write_text(source.replace(scale, ""))
    failed = environment.run(environment.nnft, "check", "rbf-net", cwd=folder, code=1)
    (said,) = re.findall(r"`.*?`", text_block(" checks:"))
    assert said in failed
    module.write_text(source)
    output, _ = environment.shell(right, folder)
    assert re.search(r"passes \d+ checks", output)
    assert "2 passed" in output
    output, _ = environment.shell(used, folder)
    assert re.search(r"^rbf-net .* kernel, readout +nnft-rbf-net 0.1.0", output, re.M)
    assert (folder / "corr.nc").is_file()
    output = environment.run(environment.python, "-c", use, cwd=folder)
    assert "\nconditional\n" in output
    environment.shell(shared, folder)
    assert list((folder / "dist").glob("nnft_rbf_net-0.1.0-*.whl"))


def test_the_page_shows_the_words_of_the_errors(install_plugins):
    """Those of a wrong option and of a plugin that does not import."""
    source, *_, operator = code_blocks(PAGE, "python")
    install_plugins("a-plugin", {"rbf-net": source, "lambda_1": operator})
    assert nnft.operators()["lambda_1"].num_fields == 4
    for option in ({"lenght": 0.5}, {"length": 0.001}):
        with pytest.raises(SpecError) as error:
            nnft.network("rbf-net", width=5, input_dim=1, **option)
        assert f"nnft: {error.value}" in text_block("lenght").splitlines()


@pytest.mark.slow
def test_the_example_installs_and_passes_its_tests(environment, tmp_path):
    folder = tmp_path / "example"
    shutil.copytree(ROOT / "examples" / "third_party_plugin", folder)
    output, _ = environment.shell("pip install .\npytest\nnnft architectures", folder)
    assert " passed" in output
    assert re.search(r"^quadratic-net .* nnft-quadratic-net 0", output, flags=re.M)


@pytest.mark.slow
def test_a_new_plugin_is_clean_to_the_tools_of_this_repository(tmp_path):
    folder = writing.write_plugin(MY_NET, tmp_path)
    tools = (
        ("ruff", "check", "--no-cache", "--config", str(ROOT / "pyproject.toml"), "."),
        ("ruff", "format", "--no-cache", "--check", "."),
        ("mypy", "--strict", "--cache-dir", str(tmp_path / "mypy")),
    )
    for tool in tools:
        done = subprocess.run(
            [sys.executable, "-m", *tool], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_plugin_is_a_whole_package(tmp_path):
    folder = writing.write_plugin(MY_NET, tmp_path)
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")}
    assert files >= {
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/my_net/__init__.py",
        "src/my_net/py.typed",
        "tests/test_architecture.py",
    }
    for path in folder.rglob("*.*"):
        assert not re.search(r"{[{%#]|[%#}]}", path.read_text())  # all is rendered


@pytest.mark.parametrize(
    "name",
    [
        "My-Net",
        "2net",
        "my_net",
        "my--net",
        "-net",
        "net-",
        "",
        "my net",
        "nét",
        "../x",
        "a" * 61,
        "a" * 10_000,
        "my-net\n",
    ],
)
def test_bad_names_are_refused_in_one_short_line(name):
    with pytest.raises(SpecError, match="expected lower-case letters, digits and") as e:
        plugin_names(name)
    assert len(str(e.value)) < 300
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("relu-net", "installed plugin of nnft-ppl, and the registry refuses"),
        ("lambda", "`lambda`, which is a keyword of Python; .* such as lambda-net"),
        ("match", "`match`, which is a keyword of Python"),
        ("type", "`type`, which is a keyword of Python"),
        ("range", "`range`, which is a built-in name of Python"),
        ("json", "module `json`, which is there already"),
        ("numpy", "module `numpy`, which is there already"),
        ("jax", "module `jax`, which is there already"),
        ("nnft", "which is what nnft_ppl is called on the command line"),
        ("nnft-ppl", "module `nnft_ppl`, which is there already"),
        ("nnft-ppl-architectures", "`nnft_ppl_architectures`, which is there already"),
        ("conftest", "which is what pytest calls a file of its own"),
        ("tests", "which is what many a folder of tests is called"),
        ("scikit-learn", "with the installed distribution scikit-learn, and pip"),
    ],
)
def test_names_that_are_taken_are_refused(name, message):
    with pytest.raises(SpecError, match=message):
        plugin_names(name)


def test_the_command_writes_nothing_under_a_name_that_is_taken(tmp_path):
    done = CliRunner().invoke(
        main, ["new-plugin", "nnft", "--directory", str(tmp_path)]
    )
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert line.startswith("nnft: `nnft` would be the Python module `nnft`, which is")
    assert not list(tmp_path.iterdir())


def test_a_distribution_of_the_plugin_s_name_is_not_replaced(install_plugins):
    """pip would take away the one that is installed, whatever its plugin is called."""
    install_plugins("nnft-my-net", {"other-net": "import no_such_module"})
    with pytest.raises(SpecError, match="the installed distribution nnft-my-net, and"):
        plugin_names("my-net")


def test_the_name_of_a_broken_plugin_is_taken(install_plugins):
    install_plugins("broken-plugin", {"my-net": "import no_such_module"})
    with pytest.raises(SpecError, match="installed plugin of broken-plugin"):
        plugin_names("my-net")


def test_names_follow_from_the_architecture_s():
    assert plugin_names("my-net") == MY_NET
    assert plugin_names("nnft-net").distribution == "nnft-net"


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "my-net").mkdir()
    (tmp_path / "my-net" / "thesis.tex").write_text("precious")
    with pytest.raises(SpecError, match="is not empty, and nothing of it"):
        writing.write_plugin(MY_NET, tmp_path)
    assert [p.name for p in tmp_path.rglob("*")] == ["my-net", "thesis.tex"]
    (tmp_path / "my-net" / "thesis.tex").unlink()
    assert (writing.write_plugin(MY_NET, tmp_path) / "pyproject.toml").is_file()


def test_places_that_are_no_folder_are_refused(tmp_path):
    with pytest.raises(SpecError, match="absent` is no folder"):
        writing.write_plugin(MY_NET, tmp_path / "absent")
    (tmp_path / "my-net").write_text("precious")
    with pytest.raises(SpecError, match="my-net` is no folder"):
        writing.write_plugin(MY_NET, tmp_path)
    assert (tmp_path / "my-net").read_text() == "precious"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "disk is full")])
def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch, failure):
    write_text, written = Path.write_text, []

    def fail_at_the_third(path: Path, *arguments, **keywords):
        written.append(path)
        if len(written) == 3:
            raise failure
        return write_text(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "write_text", fail_at_the_third)
    expected = KeyboardInterrupt if failure is KeyboardInterrupt else SpecError
    with pytest.raises(expected, match=r"disk is full|^$"):
        writing.write_plugin(MY_NET, tmp_path)
    assert len(written) == 3
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_comes_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my folder").mkdir()
    command = ["new-plugin", "my-net", "--directory", "my folder"]
    out = CliRunner().invoke(main, command).output
    first, *_ = next_commands(out).splitlines()
    assert first == "cd 'my folder/my-net'"
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert result.stderr.startswith("nnft: `my folder/my-net` is not empty")
