"""`nnft correlators`: its options reach the engine, and what exists is respected."""

import jax
import numpy as np
import pytest
from cli.commands import document, run

import nnft_ppl as nnft

NETWORK = (
    "correlators",
    "erf-net",
    "--width",
    3,
    "--bias-std",
    1,
    "--points",
    "-1,0.4",
)
BLOCK = 1 << 17


def measure(num_draws, **options):
    network = nnft.network("erf-net", width=3, input_dim=1, bias_std=1.0)
    key = jax.random.key(options.pop("seed", 0))
    return nnft.measure_correlators(
        network, [-1.0, 0.4], num_draws=num_draws, key=key, **options
    )


def assert_equal(found, expected):
    assert found.num_draws == expected.num_draws
    for order in expected.orders:
        np.testing.assert_array_equal(found.connected(order), expected.connected(order))
    np.testing.assert_array_equal(found.joint_covariance, expected.joint_covariance)


def assert_near(found, expected):
    """Equal but for the size of batches, which float32 means and the errors feel."""
    assert found.num_draws == expected.num_draws
    for order in expected.orders:
        np.testing.assert_allclose(
            found.connected(order), expected.connected(order), rtol=1e-4, atol=1e-6
        )


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.nc"


def names(output):
    return sorted(path.name for path in output.parent.iterdir())


def test_options_reach_the_engine(output):
    run(
        *NETWORK,
        *("--num-draws", "2e3", "--generator", "jax", "--estimator", "moments"),
        *("--memory", "20MB", "--devices", "0,", "--seed", 4, "-o", output),
    )
    expected = measure(2000, generator="jax", estimator="moments", seed=4)
    assert_equal(nnft.load(output), expected)
    assert names(output) == ["out.nc", "out.nc.sums"]


def test_target_error_stops_when_it_is_reached(output):
    found, events = document(
        *NETWORK, "--target-error", 0.05, "--num-draws", "1e8", "-o", output
    )
    assert found["num_draws"] < 1e8
    assert_equal(nnft.load(output), measure(10**8, target_error=0.05))
    told = events.pop()
    assert told["event"] == "target"
    assert "relative error of G4c: " in told["message"]
    assert told["relative_error"] <= told["target_error"] == 0.05
    last = [event for event in events if event["event"] == "progress"][-1]
    assert last["num_draws"] == last["total"] == found["num_draws"]
    assert last["relative_error"] <= 0.05


def test_the_target_may_be_the_error_of_a_coupling(output):
    found, events = document(
        *NETWORK,
        *("--coupling", "lambda_0", "--cutoff", 2, "--target-error", 0.05),
        *("--num-draws", "1e8", "-o", output),
    )
    last = [event for event in events if event["event"] == "progress"][-1]
    error = nnft.coupling_error(nnft.Action(["lambda_0"]), 2.0)(nnft.load(output))
    assert last["relative_error"] == pytest.approx(error, rel=1e-9)
    assert "of the coupling of lambda_0: " in events[-1]["message"]
    assert error <= 0.05
    assert found["num_draws"] < 1e8


@pytest.mark.parametrize(
    "some",
    [
        ("--coupling", "lambda_0"),
        ("--cutoff", 2),
        ("--coupling", "lambda_0", "--cutoff", 2),
        ("--cutoff", 2, "--target-error", 0.1),
    ],
)
def test_half_a_target_is_refused(output, some):
    result = run(*NETWORK, *some, "-o", output, code=2)
    assert "belong together" in result.stderr
    assert names(output) == []


def test_json_tells_progress_as_events(output):
    _, events = document(*NETWORK, "--num-draws", 3 * BLOCK, "-o", output)
    assert {event["event"] for event in events} == {"progress"}
    assert events[0]["num_draws"] == BLOCK
    assert events[-1]["num_draws"] == events[-1]["total"] == 3 * BLOCK
    assert events[-1]["seconds_left"] == 0
    for event in events:
        assert set(event) == {
            *("event", "num_draws", "total", "networks_per_second", "seconds_left"),
            *("relative_error", "memory_bytes"),
        }
        assert 0 < event["relative_error"] < 1
        assert event["networks_per_second"] > 0
        assert event["memory_bytes"] > 10_000_000


def test_without_a_terminal_it_is_quiet(output):
    assert run(*NETWORK, "--num-draws", 2000, "-o", output).stderr == ""


def test_a_finished_run_is_extended(output):
    run(*NETWORK, "--num-draws", BLOCK + 1000, "-o", output)
    assert names(output) == ["out.nc", "out.nc.sums"]
    result = run(*NETWORK, "--extend", "3x", "-o", output)
    assert "from 132,072 to 396,216 networks" in result.stderr
    assert_near(nnft.load(output), measure(3 * (BLOCK + 1000)))
    _, events = document(*NETWORK, "--extend", 1000, "-o", output)
    assert events[0]["event"] == "extending"
    assert events[0]["total"] == 3 * (BLOCK + 1000) + 1000
    # It began with what was there, not with nothing.
    assert events[1]["num_draws"] >= 3 * BLOCK
    assert_near(nnft.load(output), measure(3 * (BLOCK + 1000) + 1000))


def test_a_run_too_short_for_sums_is_extended_as_well(output):
    run(*NETWORK, "--num-draws", 2000, "-o", output)
    other = run(*NETWORK, "--extend", "2x", "--seed", 5, "-o", output, code=2)
    assert "its seed is 0, that of this command 5" in other.stderr
    run(*NETWORK, "--extend", "2x", "-o", output)
    assert_equal(nnft.load(output), measure(4000))


def test_an_unfinished_run_goes_on_and_says_so(output):
    measure(2 * BLOCK, checkpoint=f"{output}.sums")
    assert names(output) == ["out.nc.sums"]
    result = run(*NETWORK, "--num-draws", 3 * BLOCK, "-o", output)
    assert f"going on from {output}.sums, which holds 262,144" in result.stderr
    assert_near(nnft.load(output), measure(3 * BLOCK))
    output.unlink()
    _, events = document(*NETWORK, "--num-draws", 3 * BLOCK, "-o", output)
    assert events[0]["event"] == "resumed"
    assert events[0]["num_draws"] == 3 * BLOCK


def test_force_discards_output_and_sums(output):
    run(*NETWORK, "--num-draws", BLOCK, "--seed", 3, "-o", output)
    refused = run(*NETWORK, "-o", output, code=2)
    assert "give --force to replace it or --extend to add" in refused.stderr
    run(*NETWORK, "--num-draws", BLOCK, "--force", "-o", output)
    assert_equal(nnft.load(output), measure(BLOCK))
    # A file is lost only to work that has begun, and so are its sums.
    for refused in (("--order", 9), ("--devices", 99), ("--estimator", "guess")):
        run(*NETWORK, *refused, "--force", "-o", output, code=2)
        assert_equal(nnft.load(output), measure(BLOCK))
        assert names(output) == ["out.nc", "out.nc.sums"]
    run(*NETWORK, "--extend", "2x", "-o", output)
    assert_near(nnft.load(output), measure(2 * BLOCK))


def test_a_damaged_checkpoint_is_named_and_told_as_an_event(output, monkeypatch):
    monkeypatch.setattr("warnings.filters", [])  # as outside of these tests
    sums = output.with_name("out.nc.sums")
    sums.write_bytes(b"noise")
    _, events = document(*NETWORK, "--num-draws", 2000, "-o", output)
    assert events[0]["event"] == "warning"
    assert f"`{sums}` is damaged" in events[0]["message"]
    assert_equal(nnft.load(output), measure(2000))
    output.unlink()
    sums.write_bytes(b"noise")
    result = run(*NETWORK, "--num-draws", 2000, "-o", output)
    assert result.stderr.startswith(f"warning: `{sums}` is damaged")
    assert len(result.stderr.splitlines()) == 1


OTHER = ("correlators", "erf-net", "--bias-std", 1)
INPUTS = ("--points", "-1,0.4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*OTHER, *INPUTS, "--width", 4), "its width is 3, that of this command 4"),
        ((*OTHER, "--width", 3, "--points", "-1,0.5"), "its inputs is"),
        ((*NETWORK, "--order", 6), "its orders is [2, 4], that of this command [2, 4"),
        ((*NETWORK, "--seed", 1), "its seed is 0, that of this command 1"),
        ((*NETWORK, "--generator", "jax"), "its generator is 'fused13'"),
        ((*NETWORK, "--generator", "fused"), "its generator is 'fused13', that of"),
        ((*NETWORK, "--estimator", "moments"), "its estimator is 'conditional'"),
        ((*NETWORK, "--num-draws", 7), "`--num-draws` and `--extend` both say"),
        ((*NETWORK, "--force"), "`--force` begins anew and `--extend` adds"),
        ((*NETWORK, "--exact"), "`--exact` samples nothing, but `--extend` is given"),
    ],
)
def test_other_work_is_not_added(finished, arguments, message):
    before = finished.read_bytes()
    result = run(*arguments, "--extend", "2x", "-o", finished, code=2)
    assert message in result.stderr
    assert finished.read_bytes() == before
    assert names(finished) == ["out.nc", "out.nc.sums"]


def test_networks_are_added_by_the_generator_that_drew_the_others(output):
    """So are those to what a release before `fused13` has measured."""
    run(*NETWORK, "--num-draws", BLOCK, "--generator", "fused", "-o", output)
    run(*NETWORK, "--extend", "2x", "-o", output)
    assert_near(nnft.load(output), measure(2 * BLOCK, generator="fused"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    output = tmp_path_factory.mktemp("finished") / "out.nc"
    run(*NETWORK, "--num-draws", BLOCK, "-o", output)
    return output


def test_what_cannot_be_extended_is_refused(output):
    missing = run(*NETWORK, "--extend", "2x", "-o", output, code=2)
    assert f"there is no `{output}` to add to; give --num-draws" in missing.stderr
    run(*NETWORK, "--exact", "-o", output)
    exact = run(*NETWORK, "--extend", "2x", "-o", output, code=2)
    assert "it holds no measured correlators" in exact.stderr
    run(*NETWORK, "--num-draws", BLOCK, "--force", "-o", output)
    output.with_name("out.nc.sums").unlink()
    bare = run(*NETWORK, "--extend", "2x", "-o", output, code=2)
    assert "out.nc.sums`, are missing or damaged; measure anew" in bare.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--memory", "lots"), "`--memory lots` is no size"),
        (("--memory", "1kB"), "`--memory` is 1000; expected bytes, 1048576 or more"),
        (("--devices", "0,7"), "there is no device 7, only 0 ("),
        (("--devices", "99"), "`--devices` is 99; this process has"),
        (("--generator", "dice"), "`--generator` is 'dice'; choose one of"),
        (("--target-error", "-1"), "`--target-error` is -1.0; expected a relative"),
        (("--target-error", 0.1, "--order", 2), "`--target-error` is of G4c"),
        (("--num-draws", "1e99"), "`--num-draws` is 99999999"),
        (("--exact", "--memory", "1GB"), "nothing, but `--memory` is given"),
    ],
)
def test_bad_input_is_refused(arguments, message, output):
    result = run(*NETWORK, *arguments, "-o", output, code=2)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert names(output) == []


def test_a_full_disk_is_one_line(output, monkeypatch):
    """The correlators are not lost to sums that cannot be written; a warning tells."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("warnings.filters", [])  # as outside of these tests
    monkeypatch.setattr("nnft_ppl.correlators.sampled.accumulate.save_checkpoint", full)
    result = run(*NETWORK, "--num-draws", 2000, "-o", output)
    assert "warning: the sums could not be saved" in result.stderr
    assert_equal(nnft.load(output), measure(2000))
    monkeypatch.setattr("nnft_ppl.correlators.correlators.Correlators.save", full)
    result = run(*NETWORK, "--num-draws", 2000, "--force", "-o", output, code=2)
    assert result.stderr.splitlines()[-1].startswith("nnft: [Errno 28] No space left")


def test_a_scheduler_that_does_not_answer_is_named(output, monkeypatch):
    monkeypatch.setattr("nnft_ppl.ensemble.cluster._ANSWER_SECONDS", 0.2)
    where = ("--scheduler", "tcp://127.0.0.1:1")
    result = run(*NETWORK, *where, "-o", output, code=2)
    assert "no Dask scheduler answers at 'tcp://127.0.0.1:1'" in result.stderr
    assert names(output) == []


def test_sample_takes_generator_and_devices(output):
    sample = ("sample", *NETWORK[1:], "--num-draws", "1e3", "--devices", 1)
    run(*sample, "--generator", "jax", "-o", output)
    network = nnft.network("erf-net", width=3, input_dim=1, bias_std=1.0)
    expected = nnft.sample_ensemble(
        network, [-1.0, 0.4], 1000, key=jax.random.key(0), generator="jax"
    )
    np.testing.assert_array_equal(nnft.load(output).values, expected.values)
    refused = run(*sample, "--devices", "0,5", "--force", "-o", output, code=2)
    assert "there is no device 5" in refused.stderr
