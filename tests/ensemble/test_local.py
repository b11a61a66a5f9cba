"""Running blocks in threads: in order, and no longer than somebody wants them."""

import threading
import time
from concurrent.futures import CancelledError

import jax
import pytest

from nnft_ppl.ensemble.local import check_open, run_locally

DEVICES = tuple(jax.local_devices()[:1])


def test_results_come_in_order_after_an_empty_call():
    calls = []

    def block(starts, devices):
        calls.append(list(starts))
        time.sleep(0.01 if 1 in starts else 0.0)
        return [10 * start for start in starts]

    assert list(run_locally(block, range(5), DEVICES)) == [0, 10, 20, 30, 40]
    assert calls[0] == []
    assert sorted(calls[1:]) == [[0], [1], [2], [3], [4]]


def test_a_closed_run_ends_what_is_under_way_at_its_next_look():
    ended, under_way = [], threading.Event()

    def block(starts, devices):
        if not starts:
            return []
        if starts[0] == 0:
            return [0]
        under_way.set()
        try:
            for _ in range(10_000):  # a hundred seconds, if nobody ended it
                check_open()
                time.sleep(0.01)
        except CancelledError:
            ended.append(starts[0])
            raise

    results = run_locally(block, range(100), DEVICES)
    assert next(results) == 0
    assert under_way.wait(10)
    results.close()
    assert ended
    assert len(ended) < 20  # what had not begun never did


def test_outside_a_run_nothing_is_closed():
    check_open()
    assert list(run_locally(lambda starts, devices: list(starts), [3], DEVICES)) == [3]
    check_open()


def test_what_a_block_raises_is_raised():
    def block(starts, devices):
        if 2 in starts:
            raise OSError("no room")
        return list(starts)

    results = run_locally(block, range(5), DEVICES)
    with pytest.raises(OSError, match="no room"):
        list(results)
