"""SIGTERM and Ctrl-C end a fit cleanly, and the same command goes on."""

import os
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.cli.interruption import interruptible

PROGRAM = """
import sys, time
from nnft_ppl.cli import main
from nnft_ppl.inference.mcmc import segments
segments._SEGMENT_SECONDS = 0.2
segments._WRITING_SHARE = 1e9
save = segments._save

def slow_save(*arguments):
    save(*arguments)
    time.sleep(0.3)  # so that the signal comes before it is done

segments._save = slow_save
main(sys.argv[1:])
"""


def test_sigterm_interrupts_within_and_not_after():
    before = signal.getsignal(signal.SIGTERM)

    def end_oneself():
        with interruptible():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        end_oneself()
    assert signal.getsignal(signal.SIGTERM) is before


class Dies:
    """Is interrupted while it is destroyed, where Python drops what is raised."""

    def __del__(self):
        raise KeyboardInterrupt


def test_an_interruption_that_a_finalizer_swallows_comes_again():
    before = sys.unraisablehook
    done = []

    def work():
        with interruptible():
            Dies()
            done.append("went on")
            time.sleep(5)
            done.append("was not interrupted")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["went on"]
    assert sys.unraisablehook is before


def test_the_handler_before_holds_again_after():
    received = []
    before = signal.signal(signal.SIGTERM, lambda *_: received.append("ours"))
    try:
        with interruptible():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == ["ours"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_nothing_is_handled_and_nothing_fails():
    worked = []

    def work():
        before = signal.getsignal(signal.SIGTERM)
        with interruptible():
            worked.append(signal.getsignal(signal.SIGTERM) is before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert worked == [True]


def written(path):
    """When a checkpoint was written; 0 before, and between its two renames."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_the_same_command_goes_on_after_sigterm_and_ctrl_c(tmp_path):
    network = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    x = np.array([-1.0, 0.2, 1.0])
    data = tmp_path / "correlators.nc"
    nnft.exact_correlators(network, x, (2, 4)).save(data)

    def command(output):
        arguments = ["fit", data, "--operator", "lambda_0", "--cutoff", "10"]
        length = ["--num-warmup", "200", "--num-samples", "15000", "--num-chains", "1"]
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments, *length, "-o", output],
            env={
                **os.environ,
                "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs"),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    output = tmp_path / "stopped.nc"
    checkpoint = tmp_path / "stopped.nc.checkpoint"
    for sent in (signal.SIGTERM, signal.SIGINT):
        before = written(checkpoint)
        process = command(output)
        while written(checkpoint) in (0, before):
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(sent)
        printed, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert printed == ""
        (line,) = said.splitlines()
        assert line.startswith("nnft: interrupted; NUTS stopped after ")
        assert line.endswith("the same command goes on from there")
        assert str(checkpoint) in line
        assert not output.exists()
    process = command(output)
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert str(output) in printed
    names = {path.name for path in tmp_path.iterdir()} - {"programs"}
    assert names == {"correlators.nc", "stopped.nc"}
    found = nnft.load(output)
    whole = nnft.fit_couplings(
        nnft.load(data),
        nnft.Action(["lambda_0"]),
        [10],
        key=jax.random.key(0),
        num_warmup=200,
        num_samples=15000,
        num_chains=1,
    )
    np.testing.assert_array_equal(found.dimensionless, whole.dimensionless)
    np.testing.assert_array_equal(found.discrepancy, whole.discrepancy)
    np.testing.assert_array_equal(found.natural_size, whole.natural_size)
