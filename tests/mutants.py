"""Breaks of one line, each of which its tests must notice: `make mutants` runs them.

In: `mutants.toml`. Each break is made in a copy of the tree, whose tests are then run;
the working tree is never touched. Out: which breaks were noticed, which lived.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_name("mutants.toml")
MAX_LIVING = 3
_NEEDED = ("nnft_ppl", "plugins", "tests", "docs", "examples")
_PATIENCE = 10.0
"""A break that makes its tests take so many times as long has been noticed."""


@dataclass(frozen=True)
class Mutant:
    """One break.

    Attributes:
        name: Of it.
        file: Whose line is broken, from the root.
        before: A part of that line that occurs once in the file.
        after: What stands there instead.
        breaks: What is then wrong.
        tests: Files or node ids that should notice.
        lives: Why none does, where that is known and no harm.
    """

    name: str
    file: str
    before: str
    after: str
    breaks: str
    tests: tuple[str, ...]
    lives: str = ""

    def broken(self, text: str) -> str:
        """The file's text with the break."""
        if text.count(self.before) != 1:
            raise ValueError(f"{self.name}: not one {self.before!r} in {self.file}")
        return text.replace(self.before, self.after)


def read_mutants() -> list[Mutant]:
    """The list."""
    given = tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**{**one, "tests": tuple(one["tests"])}) for one in given]


class Copy:
    """A copy of the tree, one break at a time."""

    def __init__(self, path: Path) -> None:
        """Copy what tests need; compiled programs are shared."""
        self.path = path
        for name in _NEEDED:
            shutil.copytree(
                ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for file in ROOT.iterdir():
            if file.is_file():
                shutil.copy2(file, path)
        programs = ROOT / ".pytest_cache" / "programs"
        programs.mkdir(parents=True, exist_ok=True)
        (path / ".pytest_cache").mkdir()
        (path / ".pytest_cache" / "programs").symlink_to(programs)
        self._number = 0
        imported = (
            "import nnft_ppl, nnft_ppl_architectures as plugins;"
            "print(nnft_ppl.__file__, plugins.__file__, sep='\\n')"
        )
        found = self._run("-c", imported).stdout.split()
        strangers = [file for file in found if not Path(file).is_relative_to(path)]
        assert found, "nothing is imported"
        assert not strangers, f"not the copy's: {strangers}"

    def test(
        self, tests: Sequence[str], *options: str, seconds: float | None = None
    ) -> str | None:
        """What pytest says where tests fail; `None` where they pass.

        Args:
            tests: Files or node ids.
            options: Of pytest.
            seconds: After which they are taken to fail.
        """
        given = ("-m", "pytest", "-m", "not slow", "-q", *options, *tests)
        try:
            done = self._run(*given, seconds=seconds)
        except subprocess.TimeoutExpired:
            return f"no end after {seconds:.0f} s"
        if done.returncode == 0:
            return None
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        shown = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        return "\n".join(shown or lines[-5:] or [f"exit code {done.returncode}"])

    @contextmanager
    def broken_by(self, mutant: Mutant) -> Iterator[None]:
        """The copy with the break within."""
        file, original = self.path / mutant.file, ROOT / mutant.file
        text = mutant.broken(original.read_text(encoding="utf-8"))
        file.write_text(text, encoding="utf-8")
        # Python takes a compiled file of the same time and size for its own.
        self._number += 1
        os.utime(file, (self._number, self._number))
        try:
            yield
        finally:
            shutil.copy2(original, file)

    def _run(
        self, *arguments: str, seconds: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        here = os.pathsep.join(map(str, (self.path, self.path / "plugins")))
        environment = {**os.environ, "PYTHONPATH": here, "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )


@contextmanager
def borrowed(copies: SimpleQueue[Copy]) -> Iterator[Copy]:
    """One that nobody else works in."""
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run breaks; exit code 1 when more live than may, 2 when sound code fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=["*"], help="or patterns of them")
    parser.add_argument("--jobs", type=int, default=1, help="breaks at a time")
    chosen = parser.parse_args(arguments)
    mutants = [
        one
        for one in read_mutants()
        if any(fnmatch(one.name, pattern) for pattern in chosen.names)
    ]
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(chosen.jobs):
            copies.put(Copy(Path(folder).resolve() / str(number)))

        def sound(test: str) -> tuple[str, float, str | None]:
            """How long a test takes where nothing is broken, and whether it fails."""
            begun = time.perf_counter()
            with borrowed(copies) as copy:
                failure = copy.test([test])
            return test, time.perf_counter() - begun, failure

        def noticed(one: Mutant) -> str | None:
            with borrowed(copies) as copy, copy.broken_by(one):
                limit = _PATIENCE * sum(taken[test] for test in one.tests)
                return copy.test(one.tests, "-x", seconds=limit)

        with ThreadPoolExecutor(chosen.jobs) as pool:
            taken, failures = {}, []
            for test, seconds, failure in pool.map(
                sound, dict.fromkeys(test for one in mutants for test in one.tests)
            ):
                taken[test] = seconds
                print(f"{seconds:4.0f} s {test}", flush=True)
                failures += [] if failure is None else [failure]
            if failures:
                print("these fail without any break:", *failures, sep="\n")
                return 2
            lived = []
            for one, failure in zip(mutants, pool.map(noticed, mutants), strict=True):
                if failure is None:
                    lived.append(one)
                by = "LIVED" if failure is None else failure.splitlines()[0]
                print(f"{one.name}: {by[:120]}", flush=True)
    print(f"{len(mutants) - len(lived)} of {len(mutants)} breaks noticed")
    for one in lived:
        print(f"lived: {one.name} ({one.file}): {one.lives or one.breaks}")
    return int(len(lived) > MAX_LIVING)


if __name__ == "__main__":
    sys.exit(main())
