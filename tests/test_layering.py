"""Data goes one way, so imports do: a module imports only from its left."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from nnft_ppl.correlators.origin import UNSAMPLED
from nnft_ppl.correlators.sampled.estimators import ESTIMATORS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nnft_ppl"

LAYERS = (
    {
        "_errors",
        "_arguments",
        "_arrays",
        "_typing",
        "_version",
        "_checkpoint",
        "_columns",
        "_compile",
        "_files",
        "_hdf5",
        "_host",
        "_html",
        "_inputs",
        "_latex",
        "_numbers",
        "_pair_table",
        "_parameters",
        "_travel",
        "_seed",
        "_rms",
        "store",
    },
    {"activations"},
    {
        "option",
        "architecture",
        "operator",
        "hookspecs",
        "_drawn_network",
        "_hyperparameters",
        "_known_kernel",
        "_measured_kernel",
        "_network",
        "_tangent_kernel",
        "registry",
        "adapters",
    },
    {"ensemble"},
    {"correlators"},
    {"eft"},
    {"inference"},
    {"bayes"},
    {"training"},
    {"_load"},
    {"diagnostics", "testing", "new_plugin"},
    {"plots", "report", "export"},
    {"study"},
    {"cli"},
)
"""Left to right; a new top-level module must be given its place here."""

FROM_CORRELATORS_TO_EFT = {"partitions", "symmetric", "wick"}
"""Combinatorics alone: the effective theory knows nothing of draws."""

FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def imported(tree: ast.AST, names: set[str] = MODULES) -> set[str]:
    """Modules of the package that a syntax tree imports, `nnft_ppl` for its root."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports inside the package are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in names else str(node.module))
    return {name for name in found if name.split(".")[0] == "nnft_ppl"}


def stage(module: str) -> str:
    return module.split(".")[1]


def layer(module: str) -> int:
    for number, layer in enumerate(LAYERS):
        if stage(module) in layer:
            return number
    pytest.fail(f"`{module}` has no place in LAYERS of {Path(__file__).name}")


def right_pointing(module: str, source: str, names: set[str] = MODULES) -> set[str]:
    """What `module` imports against the flow; the package root counts as rightmost."""
    return {
        other
        for other in imported(ast.parse(source), names)
        if other == "nnft_ppl" or layer(other) > layer(module)
    }


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_module_imports_only_from_its_left(path: Path):
    if path == PACKAGE / "__init__.py":
        return
    wrong = right_pointing(module_name(path), path.read_text())
    assert not wrong, f"{module_name(path)} imports {sorted(wrong)} from its right"


def test_an_import_from_the_right_would_be_found():
    names = {"nnft_ppl.eft", "nnft_ppl.inference.couplings.fit"}
    source = "def f():\n    from nnft_ppl.inference.couplings import fit\n"
    assert right_pointing("nnft_ppl.eft.action", source, names) == {
        "nnft_ppl.inference.couplings.fit"
    }
    assert right_pointing("nnft_ppl.eft", "import nnft_ppl as nnft\n") == {"nnft_ppl"}


def test_imports_have_no_cycle():
    graph = {
        module_name(path): imported(ast.parse(path.read_text()))
        for path in FILES
        if path != PACKAGE / "__init__.py"
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            pytest.fail(f"cycle: {' → '.join((*trail, module))}")
        if module not in done:
            for other in sorted(graph.get(module, ())):
                if not module.startswith(f"{other}."):  # a submodule of its package
                    visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "eft").glob("**/*.py")), ids=module_name
)
def test_effective_theory_knows_no_draws(path: Path):
    for name in imported(ast.parse(path.read_text())):
        top, _, inner = name.removeprefix("nnft_ppl.").partition(".")
        assert top != "ensemble"
        if top == "correlators":
            assert inner in FROM_CORRELATORS_TO_EFT, f"eft may not import {name}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_stand_at_the_top_of_the_module(path: Path):
    if module_name(path) == "nnft_ppl" or stage(module_name(path)) == "cli":
        return  # there they keep `nnft --help` quick
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inner = [
                n for n in ast.walk(node) if isinstance(n, (ast.Import, ast.ImportFrom))
            ]
            assert not inner, f"line {inner[0].lineno} imports inside a function"


def architecture_names() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["entry-points"]["nnft_ppl"])


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_core_names_no_architecture(path: Path):
    name = "|".join(sorted(architecture_names()))
    family = r"(relu|erf|gauss|cos|sine|tanh|mlp|conv|cnn|attention)([-_]?net)?"
    banned = re.compile(rf"^{family}$|{name}", re.IGNORECASE)
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and ast.get_docstring(node) is not None
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert id(node) in docstrings or not banned.search(node.value), (
                f"line {node.lineno} names an architecture: {node.value!r}"
            )


ESTIMATOR_NAMES = {*ESTIMATORS, *UNSAMPLED} - {"exact"}  # a word that files use, too


def compared_names(source: str) -> set[str]:
    """Names of estimators that a module compares something with."""
    return {
        constant.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
        for constant in ast.walk(side)
        if isinstance(constant, ast.Constant) and constant.value in ESTIMATOR_NAMES
    }


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_estimators_and_origins_are_asked_not_told_apart_by_name(path: Path):
    # `RequiredWidth.method` is a word of its own, which has "recursion", too.
    allowed = {"recursion"} if path.stem == "required_width" else set()
    assert compared_names(path.read_text()) <= allowed


def test_a_comparison_with_a_name_would_be_found():
    assert compared_names("if c.estimator in ('wick', 'x'): pass") == {"wick"}


def test_standard_plugins_import_only_public_names():
    for path in (ROOT / "plugins").rglob("*.py"):
        assert imported(ast.parse(path.read_text()), set()) <= {"nnft_ppl"}, path
