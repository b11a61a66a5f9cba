"""How the work is cut, who does it and how it ends, not what it gives."""

import subprocess
import sys
from threading import active_count

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.bayes import weighting
from nnft_ppl.ensemble.not_finite import NotFiniteError

NET = nnft.network("erf-net", width=4, input_dim=1, weight_std=1.0, bias_std=0.5)
X, Y = np.array([-1.0, 0.3, 0.9]), np.array([0.5, -0.4, 0.1])


def run(**options):
    given = {"noise_std": 0.3, "num_draws": 5000, "key": jax.random.key(3)}
    return nnft.posterior(NET, X, Y, [0.5], num_samples=50, **{**given, **options})


def test_blocks_change_no_more_than_rounding(monkeypatch):
    whole = run()
    monkeypatch.setattr(weighting, "_BLOCK_DRAWS", 128)
    monkeypatch.setattr(weighting, "_FEW_BLOCKS", 64)
    small = run()
    np.testing.assert_allclose(small.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(small.variance, whole.variance, rtol=1e-6)
    assert small.log_evidence == pytest.approx(whole.log_evidence, abs=1e-7)


def test_progress_is_told_to_the_end():
    told = []
    run(progress=told.append)
    assert [p.num_draws for p in told] == sorted(p.num_draws for p in told)
    assert told[-1].num_draws == told[-1].total == 5000


def test_an_interruption_ends_the_work():
    before = active_count()

    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(progress=interrupt)
    assert active_count() <= before


def test_networks_that_are_not_finite_are_counted():
    def features(hp, params, x):
        return jax.numpy.sqrt(params["W0"].reshape(-1) * x)

    plugin = nnft.architectures()["erf-net"]
    rooted = nnft.Architecture(
        name="rooted",
        description="the root of what may be negative",
        prior=plugin.prior,
        apply=lambda hp, params, x: features(hp, params, x)[:1],
        readout=lambda hp: nnft.Readout(
            features=lambda params, x: features(hp, params, x),
            weight_std=1.0,
            bias_std=0.0,
        ),
    )
    net = nnft.Network.build(rooted, width=4, input_dim=1)
    with pytest.raises(NotFiniteError, match=r"of the networks 0 to \d+ give NaN"):
        nnft.posterior(
            net, X, Y, [0.5], noise_std=0.3, num_draws=100, key=jax.random.key(0)
        )


def test_memory_that_runs_out_is_said(monkeypatch):
    def none(*_):
        raise MemoryError

    monkeypatch.setattr(weighting, "condition_networks", none)
    with pytest.raises(nnft.SpecError, match=r"out of memory with \d+ networks"):
        run()


PROGRAM = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import numpyro.distributions as dist
import nnft_ppl as nnft
net = nnft.network("mlp", width=5, depth=2, input_dim=1, bias_std=0.5)
post = nnft.posterior(
    net, [-1.0, 0.3, 0.9], [0.5, -0.4, 0.1], [0.5], noise_std=dist.LogNormal(-1, 0.5),
    num_draws=20_000, key=jax.random.key(3), num_samples=50,
)
post.save(sys.argv[2])
"""


@pytest.mark.slow
def test_devices_give_the_bits_of_one(tmp_path):
    found = []
    for number in (1, 3):
        path = tmp_path / f"{number}.nc"
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(number), path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        found.append(nnft.load(path))
    assert found[0].data.equals(found[1].data)
