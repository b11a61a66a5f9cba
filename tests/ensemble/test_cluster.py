import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from distributed import Client, LocalCluster

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled.measure import SamplingInterrupted
from nnft_ppl.ensemble import cluster
from nnft_ppl.ensemble.cluster import connected, run_on_cluster
from nnft_ppl.ensemble.progress import Progress

X = np.array([[-0.5], [0.2], [1.0]])
BLOCK = 1 << 17


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    ) as workers:
        yield workers.scheduler_address


def measure(num_draws: int, net: nnft.Network | None = None, **options):
    net = net or nnft.network("relu-net", width=10, input_dim=1)
    key = jax.random.key(4)
    return nnft.measure_correlators(
        net, X, (2, 4), num_draws=num_draws, key=key, **options
    )


def assert_same_to_the_bit(one: nnft.Correlators, other: nnft.Correlators):
    assert one.num_draws == other.num_draws
    for order in (2, 4):
        np.testing.assert_array_equal(one.connected(order), other.connected(order))
    np.testing.assert_array_equal(one.joint_covariance, other.joint_covariance)


def test_workers_give_what_this_process_gives(address: str):
    num_draws = 5 * BLOCK + 1000
    assert_same_to_the_bit(measure(num_draws, scheduler=address), measure(num_draws))


@pytest.mark.slow
def test_a_worker_killed_in_mid_run_changes_nothing(address: str):
    num_draws = 40 * BLOCK
    with Client(address, set_as_default=False) as client:
        before = set(client.run(os.getpid).values())
        killed = min(before)

        def kill(progress: Progress):
            if progress.num_draws == 3 * BLOCK:
                os.kill(killed, signal.SIGKILL)

        found = measure(num_draws, scheduler=address, progress=kill)
        client.wait_for_workers(2)
        after = set(client.run(os.getpid).values())
    assert killed not in after
    assert len(before & after) == 1
    assert_same_to_the_bit(found, measure(num_draws))


@pytest.mark.slow
def test_a_function_without_a_module_is_sent_by_value(address: str):
    def apply(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return jnp.sum(params["a"] * jnp.tanh(x[0] * params["b"]), keepdims=True)

    prior = {name: dist.Normal().expand([5]).to_event(1) for name in "ab"}
    architecture = nnft.architecture_from_function(
        "local", apply, prior, width=5, symmetries=frozenset({"sign"})
    )
    net = nnft.Network.build(architecture, width=5, input_dim=1)
    found = measure(BLOCK, net, scheduler=address)
    assert_same_to_the_bit(found, measure(BLOCK, net))


@pytest.mark.slow
def test_a_stopped_run_goes_on_elsewhere(address: str, tmp_path):
    place, num_draws = tmp_path / "sums", 8 * BLOCK

    def interrupt(progress: Progress):
        if progress.num_draws == 3 * BLOCK:
            raise KeyboardInterrupt

    with pytest.raises(SamplingInterrupted, match="interrupted after 393,216"):
        measure(num_draws, scheduler=address, checkpoint=place, progress=interrupt)
    found = measure(num_draws, checkpoint=place)
    assert_same_to_the_bit(found, measure(num_draws))


def run(address: str, give, starts=range(20)) -> list:
    # A class of this module would be sent by name, which workers do not know.
    work = type("Work", (), {"sums": lambda self, s, d: [give(start) for start in s]})()
    with connected(address) as client:
        return list(run_on_cluster(client, work, starts))


def test_results_come_in_order_whatever_the_time_they_take(address: str):
    def give(start: int) -> int:
        time.sleep(0.05 * (start % 3 == 0))
        return start

    assert run(address, give) == list(range(20))


def test_stopping_cancels_what_waits(address: str):
    work = type("Work", (), {"sums": lambda self, s, d: [time.sleep(0.05)]})()
    with connected(address) as client:
        blocks = run_on_cluster(client, work, range(1000))
        next(blocks)
        blocks.close()
        deadline = time.monotonic() + 5
        while any(client.processing().values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(client.processing().values())


@pytest.mark.parametrize("error", [nnft.SpecError, nnft.PluginError])
def test_a_refusal_on_a_worker_comes_back_as_it_is(address: str, error):
    def give(start: int) -> int:
        raise error(f"block {start} is refused")

    with pytest.raises(error, match=r"^block 0 is refused$"):
        run(address, give)


def test_a_worker_that_fails_for_a_moment_is_asked_again(address: str, tmp_path):
    def give(start: int) -> int:
        mark = tmp_path / f"{start}"
        if start == 2 and not mark.exists():
            mark.touch()
            raise MemoryError("for a moment")
        return start

    assert run(address, give, range(4)) == list(range(4))
    assert (tmp_path / "2").exists()


@pytest.mark.slow
def test_a_block_that_kills_its_workers_is_named(address: str):
    def give(start: int) -> int:
        return start if start < 2 else os._exit(1)

    with pytest.raises(nnft.NnftError, match="took several Dask workers down"):
        run(address, give, range(3))


def test_no_scheduler_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "_ANSWER_SECONDS", 0.5)
    with pytest.raises(nnft.SpecError, match=r"answers at 'tcp://127.0.0.1:9'.*start"):
        measure(1000, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(nnft.SpecError, match=r"answers at 'nonsense'.*missing port"):
        measure(1000, scheduler="nonsense")
    with pytest.raises(nnft.SpecError, match="`scheduler` is 8786; expected an addr"):
        measure(1000, scheduler=8786)


@pytest.mark.slow
def test_waiting_for_new_workers_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "_ANSWER_SECONDS", 0.5)
    work = type("Work", (), {"sums": lambda self, starts, devices: list(starts)})()
    with (
        LocalCluster(
            n_workers=0, threads_per_worker=1, dashboard_address=":0", memory_limit=0
        ) as workers,
        Client(workers.scheduler_address, set_as_default=False) as client,
    ):
        threading.Timer(0.8, workers.scale, [1]).start()
        with pytest.warns(UserWarning, match="has no workers left; waiting for new"):
            assert list(run_on_cluster(client, work, range(3))) == [0, 1, 2]


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "_ANSWER_SECONDS", 0.5)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as nobody,
        pytest.raises(nnft.SpecError, match="no workers; start some with `dask worker"),
    ):
        measure(1000, scheduler=nobody.scheduler_address)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("jax", r"has jax \d.*, and here is 0\.0"), ("no-such", "has no no-such")],
)
def test_workers_with_other_versions_are_refused(
    address: str, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
):
    monkeypatch.setattr(cluster, "_versions", lambda: ((name, "0.0"),))
    with pytest.raises(nnft.SpecError, match=expected):
        measure(1000, scheduler=address)


def test_work_that_a_worker_cannot_load_is_an_error_of_ours():
    """Its plugin is not there, most likely; nothing is tried again."""
    found = cluster._blocks([0], payload=b"no pickle", versions=cluster._versions())
    assert isinstance(found, nnft.SpecError)
    assert "install there what is installed here" in str(found)


class Slow:
    """Work that takes long to load."""

    def __reduce__(self):
        return load_slowly, ()


def load_slowly():
    time.sleep(0.2)
    return Slow()


def test_threads_of_a_worker_load_its_work_once():
    payload, versions = pickle.dumps(Slow()), cluster._versions()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cluster._received(payload, versions), range(4)))
    assert len(set(map(id, found))) == 1


def test_what_hangs_is_not_waited_for():
    assert cluster._within(10.0, lambda: 3) == 3
    begun = time.perf_counter()
    assert cluster._within(0.05, lambda: time.sleep(3)) is None
    assert time.perf_counter() - begun < 2
    with pytest.raises(OSError, match="gone"):
        cluster._within(10.0, raise_oserror)


def raise_oserror():
    raise OSError("gone")


@pytest.mark.slow
def test_a_worker_that_hangs_is_told_of(address: str, monkeypatch):
    monkeypatch.setattr(cluster, "_ANSWER_SECONDS", 2)
    with Client(address, set_as_default=False) as client:
        stopped = min(client.run(os.getpid).values())
    os.kill(stopped, signal.SIGSTOP)
    try:
        with pytest.raises(
            nnft.SpecError, match=r"not all workers .* answer within 2 s"
        ):
            measure(BLOCK, scheduler=address)
    finally:
        os.kill(stopped, signal.SIGCONT)


@pytest.mark.slow
def test_a_posterior_is_the_same_by_workers(address: str, tmp_path):
    net = nnft.network("erf-net", width=6, input_dim=1, bias_std=0.5)

    def posterior(**options):
        return nnft.posterior(
            net,
            [-1.0, 0.3, 0.9],
            [0.5, -0.4, 0.1],
            [0.5],
            noise_std=dist.LogNormal(-1.0, 0.3),
            num_draws=30_000,
            key=jax.random.key(3),
            num_samples=50,
            **options,
        )

    def interrupt(progress: Progress):
        if progress.num_draws > 10_000:
            raise KeyboardInterrupt

    here = posterior()
    assert posterior(scheduler=address).data.equals(here.data)
    place = tmp_path / "sums"
    with pytest.raises(SamplingInterrupted):
        posterior(scheduler=address, checkpoint=place, progress=interrupt)
    assert posterior(checkpoint=place).data.equals(here.data)
