"""What is lost when a command is killed, a disk is full, a clock is set back.

    python benchmarks/faults.py [--moments 20] [--only killed]

Each try is a process of its own, forked from this one, in a folder of its own. After a
fault the same command is given again, undisturbed: it must end with the bytes of a run
that never met a fault, and leave no other file. A row of the table says how often, with
which exit codes, and how many seconds of work were done twice.
"""

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRATCH = Path(tempfile.mkdtemp(prefix="faults-"))
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(SCRATCH / "programs")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["MPLBACKEND"] = "Agg"

from distributed import Client, LocalCluster  # noqa: E402  # after the environment

import nnft_ppl.report  # noqa: E402, F401  # what the commands import, once for all
from nnft_ppl._checkpoint import load_checkpoint  # noqa: E402
from nnft_ppl.cli import main as nnft  # noqa: E402
from nnft_ppl.ensemble import saving  # noqa: E402
from nnft_ppl.inference.mcmc import segments  # noqa: E402
from nnft_ppl.study import run_study  # noqa: E402, F401

NETWORK = ("erf-net", "--width", "40", "--points=-1,0.3,1.2")
COMMANDS = {
    "correlators": ("correlators", *NETWORK, "--num-draws", "1.5e7", "-o", "out.nc"),
    "fit": (
        *("fit", "../data.nc", "--operator", "lambda_0", "--cutoff", "10"),
        *("--num-samples", "4000", "--num-chains", "2", "-o", "out.nc"),
    ),
    "study": ("study", "../study.toml", "-o", "run"),
}
STUDY = """
[network]
architecture = "erf-net"
widths = [5, 20]
bias_std = 1.0
[inputs]
points = [-1.0, 0.3, 1.2]
[ensemble]
num_draws = 1_000_000
plain_draws = 20_000
[eft]
width = 20
operators = ["lambda_0"]
cutoffs = [10.0, 100.0]
candidates = [["lambda_0"], ["lambda_2"]]
num_samples = 1000
num_chains = 2
"""
GOOD = (0, 1)
"""Exit codes of a command that did its work: every check passed, or one failed."""


@dataclass
class Row:
    """One line of the table."""

    fault: str
    command: str
    outcomes: Counter[str]
    twice: list[float]
    wrong: int = 0

    def show(self) -> None:
        """Print it, as a row of Markdown."""
        told = "; ".join(f"{n} × {what}" for what, n in self.outcomes.most_common())
        lost = f"at most {max(self.twice):.1f} s" if self.twice else "-"
        tries = sum(self.outcomes.values())
        print(
            f"| {self.fault} | {self.command} | {tries} | {told} | {lost} | "
            f"{self.wrong} |",
            flush=True,
        )


@dataclass
class Ended:
    """How a process ended, after how many seconds, of which so many on a processor."""

    code: int
    said: str
    seconds: float
    used: float

    @property
    def outcome(self) -> str:
        """The exit code, and the line that was printed where one was to be."""
        lines = [line for line in self.said.splitlines() if line.startswith("nnft:")]
        bad = "TRACEBACK " if "Traceback" in self.said else ""
        if self.code < 0:
            return f"{bad}{signal.Signals(-self.code).name}"
        return f"{bad}exit {self.code}" + (f" “{lines[-1][:100]}”" if lines else "")


def begin(
    folder: Path, command: Sequence[str], prepare: Callable[[], object] = lambda: None
) -> tuple[int, int]:
    """A child that runs a command in a folder; its process id, and what it says."""
    folder.mkdir(exist_ok=True)
    reading, writing = os.pipe()  # a file would be under the limits, too
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.chdir(folder)
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    saving.SAVE_SECONDS = segments._SEGMENT_SECONDS = 0.3
    code = 99
    try:
        prepare()
        nnft(list(command))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end(child: int, told: int, begun: float, kill_at: float | None = None) -> Ended:
    """Wait for a child, or kill it some seconds after it began."""
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            with os.fdopen(told) as file:
                said = file.read()
            code = os.waitstatus_to_exitcode(status)
            used = usage.ru_utime + usage.ru_stime
            return Ended(code, said, time.perf_counter() - begun, used)
        if kill_at is not None and time.perf_counter() - begun > kill_at:
            os.kill(child, signal.SIGKILL)
            kill_at = None
        time.sleep(0.002)


def attempt(
    folder: Path,
    command: Sequence[str],
    prepare: Callable[[], object] = lambda: None,
    kill_at: float | None = None,
) -> Ended:
    """Run a command in a child to its end."""
    begun = time.perf_counter()
    return end(*begin(folder, command, prepare), begun, kill_at)


def held(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones included; of sums the numbers."""
    return {
        str(path.relative_to(folder)): contents(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("report.html", "manifest.json")
    }


def contents(path: Path) -> bytes:
    """What is compared of a file: an archive holds the time of day, too."""
    state = load_checkpoint(path, {}) if path.suffix == ".sums" else None
    if state is None:
        return path.read_bytes()
    return b"".join(array.tobytes() for array in state.arrays.values())


class Bench:
    """The undisturbed runs, and what faults are compared with."""

    def __init__(self, moments: int) -> None:
        """Make the data of the fit, and run each command twice: compiled the second."""
        self.moments, self.number = moments, 0
        (SCRATCH / "study.toml").write_text(STUDY)
        made = ("correlators", *NETWORK, "--exact", "-o", "data.nc")
        ended = attempt(SCRATCH, made)
        assert ended.code == 0, ended.said
        self.whole: dict[str, dict[str, bytes]] = {}
        self.unhurt: dict[str, Ended] = {}
        for name, command in COMMANDS.items():
            for _ in range(2):
                folder = self.folder()
                ended = attempt(folder, command)
                assert ended.code in GOOD, ended.said
                self.whole.setdefault(name, held(folder))
            assert held(folder) == self.whole[name], f"{name} is not reproducible"
            self.unhurt[name] = ended
            print(f"{name}: {ended.used:.1f} s undisturbed", file=sys.stderr)

    def folder(self) -> Path:
        """A new one."""
        self.number += 1
        return SCRATCH / f"{self.number}"

    def again(self, row: Row, name: str, folder: Path, disturbed: Ended) -> None:
        """Give the same command again and see what was lost."""
        if disturbed.code in GOOD:
            if held(folder) != self.whole[name]:
                row.wrong += 1
            return
        ended = attempt(folder, COMMANDS[name])
        if ended.code not in GOOD or held(folder) != self.whole[name]:
            row.wrong += 1
            print(f"{row.fault}, {folder}: {ended.outcome}", file=sys.stderr)
            print(sorted(held(folder)), file=sys.stderr)
        row.twice.append(disturbed.used + ended.used - self.unhurt[name].used)
        shutil.rmtree(folder)

    def killed(self) -> None:
        """SIGKILL at moments spread over the whole run."""
        for name, command in COMMANDS.items():
            row = Row("SIGKILL", name, Counter(), [])
            for i in range(self.moments):
                folder = self.folder()
                when = (i + 0.5) / self.moments * self.unhurt[name].seconds
                ended = attempt(folder, command, kill_at=when)
                row.outcomes[ended.outcome] += 1
                self.again(row, name, folder, ended)
            row.show()

    def clock(self) -> None:
        """Every clock goes an hour back in mid-run, several times."""
        for name, command in COMMANDS.items():
            row = Row("clock set back an hour", name, Counter(), [])
            folder = self.folder()
            ended = attempt(folder, command, set_clocks_back)
            row.outcomes[ended.outcome] += 1
            self.again(row, name, folder, ended)
            row.show()

    def disk(self) -> None:
        """No file may become larger than so many bytes: EFBIG, as on a full disk."""
        for name, command in COMMANDS.items():
            row = Row("full disk", name, Counter(), [])
            for size in (0, 1000, 3000, 10_000, 30_000, 100_000):
                folder = self.folder()
                folder.mkdir()
                limit = (size, resource.RLIM_INFINITY)
                ended = attempt(
                    folder,
                    command,
                    lambda limit=limit: small(resource.RLIMIT_FSIZE, limit),
                )
                row.outcomes[ended.outcome] += 1
                self.again(row, name, folder, ended)
            row.show()

    def memory(self) -> None:
        """The address space of a new process is no larger than so much."""
        for name, command in COMMANDS.items():
            row = Row("memory limit", name, Counter(), [])
            for gigabytes in (1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8):
                folder = self.folder()
                folder.mkdir()
                most = (int(gigabytes * 1e9), resource.RLIM_INFINITY)
                process = start(
                    folder,
                    command,
                    lambda most=most: resource.setrlimit(resource.RLIMIT_AS, most),
                )
                # What loads libraries and compiles may stand still for ever.
                killer = threading.Timer(120, process.kill)
                killer.start()
                _, said = process.communicate()
                killer.cancel()
                ended = Ended(process.returncode, said, 0.0, 0.0)
                row.outcomes[ended.outcome] += 1
                self.again(row, name, folder, ended)
            row.show()

    def read_only(self) -> None:
        """An ordinary user in a folder where nothing can be written."""
        SCRATCH.chmod(0o755)
        for name, command in COMMANDS.items():
            row = Row("read-only folder", name, Counter(), [])
            folder = self.folder()
            folder.mkdir()
            folder.chmod(0o555)
            # What is imported late is not to be read by everybody: once as before.
            first = self.folder()

            def prepare(first: Path = first, folder: Path = folder) -> None:
                first.mkdir()
                os.chdir(first)
                try:
                    nnft(list(command))  # noqa: B023  # called within this round
                except SystemExit:
                    os.chdir(folder)
                os.setuid(65534)
                sys.stdout.flush()
                sys.stderr.flush()
                os.write(1, b"\n")

            ended = attempt(folder, command, prepare)
            row.outcomes[ended.outcome] += 1
            folder.chmod(0o755)
            row.wrong += bool(held(folder))
            row.show()

    def dask(self) -> None:
        """A worker, and the client, of a Dask cluster killed in mid-run."""
        with LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
        ) as cluster:
            address = cluster.scheduler_address
            command = [*COMMANDS["correlators"], "--scheduler", address]
            for fault in ("Dask worker killed", "Dask client killed"):
                row = Row(fault, "correlators", Counter(), [])
                for i in range(3):
                    folder = self.folder()
                    folder.mkdir()
                    process = start(folder, command)
                    while not (folder / "out.nc.sums").exists():
                        assert process.poll() is None, process.communicate()
                        time.sleep(0.01)
                    time.sleep(0.3 * i)
                    if "worker" in fault:
                        with Client(address, set_as_default=False) as client:
                            pids = client.run(os.getpid)
                        os.kill(min(pids.values()), signal.SIGKILL)
                    else:
                        process.kill()
                    _, said = process.communicate()
                    ended = Ended(process.returncode, said, 0.0, 0.0)
                    row.outcomes[ended.outcome] += 1
                    if ended.code not in GOOD:
                        process = start(folder, command)
                        process.communicate()
                        row.wrong += process.returncode not in GOOD
                    row.wrong += held(folder) != self.whole["correlators"]
                row.show()


def start(
    folder: Path, command: Sequence[str], prepare: Callable[[], object] | None = None
) -> subprocess.Popen[str]:
    """A command in a process that was not forked."""
    program = (
        "import sys; from nnft_ppl.cli import main; "
        "from nnft_ppl.ensemble import saving; "
        "saving.SAVE_SECONDS = 0.3; main(sys.argv[1:])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def set_clocks_back() -> None:
    """Each clock of Python's, an hour back after every hundredth look at it."""
    for name in ("time", "monotonic", "perf_counter"):
        real, looks = getattr(time, name), [0]

        def back(real: Callable[[], float] = real, looks: list[int] = looks) -> float:
            looks[0] += 1
            return real() - 3600.0 * (looks[0] // 100)

        setattr(time, name, back)


def small(kind: int, limit: tuple[int, int]) -> None:
    """Set a limit of this process."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(kind, limit)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    faults = ("killed", "clock", "read_only", "memory", "disk", "dask")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=faults, default=faults)
    arguments = parser.parse_args(argv)
    bench = Bench(arguments.moments)
    print("| fault | command | tries | outcome | done twice | wrong or left over |")
    print("|---|---|---|---|---|---|")
    try:
        for fault in arguments.only:
            getattr(bench, fault)()
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)


if __name__ == "__main__":
    main()
