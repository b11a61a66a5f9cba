import subprocess
import sys

import jax
import numpy as np
import pytest
import xarray as xr

import nnft_ppl as nnft
from nnft_ppl import store

X = np.array([0.2, 0.6, 1.0])


@pytest.fixture(scope="module")
def net():
    return nnft.network("relu-net", width=4, input_dim=1)


def test_an_ensemble_comes_back_equal(net, tmp_path):
    ensemble = nnft.sample_ensemble(net, X, 50, key=jax.random.key(0))
    ensemble.save(tmp_path / "ensemble.nc")
    back = nnft.load(tmp_path / "ensemble.nc")
    assert (back.values == ensemble.values).all()
    assert back.network.to_json() == net.to_json()


@pytest.mark.parametrize("exact", [True, False])
def test_correlators_come_back_equal(net, tmp_path, exact):
    correlators = (
        nnft.exact_correlators(net, X, (2, 4))
        if exact
        else nnft.measure_correlators(
            net, X, (2, 4), num_draws=500, key=jax.random.key(0)
        )
    )
    correlators.save(tmp_path / "correlators.nc")
    back = nnft.load(tmp_path / "correlators.nc")
    assert back.is_exact == exact
    for order in (2, 4):
        assert (back.connected(order) == correlators.connected(order)).all()
        assert (back.covariance(order) == correlators.covariance(order)).all()
        assert (back.error(order) == correlators.error(order)).all()
    assert back.data.equals(correlators.data)


def test_nothing_but_the_file_is_left_behind(net, tmp_path):
    nnft.exact_correlators(net, X).save(tmp_path / "c.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["c.nc"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    store.write(xr.DataTree(xr.Dataset({"a": ("x", [1.0])})), tmp_path / "a.nc")
    before = (tmp_path / "a.nc").read_bytes()

    def broken(self, path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", broken)
    with pytest.raises(OSError, match="disk full"):
        store.write(xr.DataTree(xr.Dataset({"a": ("x", [2.0])})), tmp_path / "a.nc")
    assert (tmp_path / "a.nc").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def test_bad_files_are_named(tmp_path):
    with pytest.raises(nnft.SpecError, match="no file"):
        nnft.load(tmp_path / "absent.nc")
    (tmp_path / "junk.nc").write_bytes(b"junk" * 100)
    with pytest.raises(nnft.SpecError, match=r"junk\.nc.*damaged or no netCDF"):
        nnft.load(tmp_path / "junk.nc")
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(nnft.SpecError, match="expected one saved by nnft_ppl"):
        nnft.load(tmp_path / "other.nc")
    with pytest.raises(nnft.SpecError, match="is no folder"):
        store.write(xr.DataTree(), tmp_path / "absent" / "a.nc")


def test_a_damaged_record_is_named(tmp_path):
    for record in ("{", "{}", "[1]"):
        tree = xr.DataTree(xr.Dataset({"a": ("x", [1.0])}, attrs={"nnft_ppl": record}))
        tree.to_netcdf(tmp_path / "d.nc", engine="h5netcdf")
        with pytest.raises(nnft.SpecError, match="attribute is damaged"):
            nnft.load(tmp_path / "d.nc")
    with pytest.raises(nnft.SpecError, match="it is a folder"):
        store.write(xr.DataTree(), tmp_path)
    with pytest.raises(nnft.SpecError, match="expected a file name"):
        nnft.load(3)


def test_a_damaged_file_does_not_read_silently(net, tmp_path):
    nnft.sample_ensemble(net, X, 2000, key=jax.random.key(0)).save(tmp_path / "e.nc")
    raw = bytearray((tmp_path / "e.nc").read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    (tmp_path / "e.nc").write_bytes(raw)
    with pytest.raises(nnft.SpecError, match="damaged"):
        nnft.load(tmp_path / "e.nc")


WRITER = """
import sys, h5py
with h5py.File(sys.argv[1], "a"):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_file_that_another_process_writes_is_locked_not_damaged(net, tmp_path):
    path = tmp_path / "c.nc"
    nnft.exact_correlators(net, X).save(path)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(nnft.SpecError, match=r"c\.nc' is locked: another process"):
            nnft.load(path)
        writer.stdin.close()
    assert nnft.load(path).network == net
