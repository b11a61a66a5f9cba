import json
import subprocess
import sys

import h5py
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


def test_bad_files_are_named(tmp_path):
    with pytest.raises(nnft.SpecError, match="no file"):
        nnft.load(tmp_path / "absent.nc")
    (tmp_path / "junk.nc").write_bytes(b"junk" * 100)
    with pytest.raises(nnft.SpecError, match=r"junk\.nc.*or no netCDF file: it is"):
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
    nnft.exact_correlators(net, X).data.to_netcdf(path)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(nnft.SpecError, match=r"c\.nc' is locked: another process"):
            nnft.load(path)
        writer.stdin.close()
    with pytest.warns(store.UncheckedFileWarning, match=r"c\.nc' was written without"):
        assert nnft.load(path).network == net


def test_a_file_that_something_else_changed_is_refused(net, tmp_path):
    path = tmp_path / "c.nc"
    nnft.exact_correlators(net, X).save(path)
    with h5py.File(path, "a") as file:
        with pytest.raises(
            nnft.SpecError, match=r"c\.nc' is damaged.*, or is being written now"
        ):
            nnft.load(path)
        file["x"][0] = 3.0
    with pytest.raises(nnft.SpecError, match="changed by something else than nnft_ppl"):
        nnft.load(path)


def test_one_flipped_bit_of_the_record_is_no_other_network(net, tmp_path):
    nnft.exact_correlators(net, X).save(tmp_path / "c.nc")
    data = (tmp_path / "c.nc").read_bytes()
    changed = data.replace(b'"weight_std": 1.0', b'"weight_std": 3.0')
    assert changed != data
    (tmp_path / "c.nc").write_bytes(changed)
    with pytest.raises(nnft.SpecError, match=r"c\.nc' is damaged"):
        nnft.load(tmp_path / "c.nc")


def test_what_a_sealed_file_holds_is_input_whatever_it_is(net, tmp_path):
    """Plugins change between saving and loading; an error is no traceback for that."""
    tree = nnft.exact_correlators(net, X).data
    record = store.metadata(tree)
    for name, value in (("orders", 4), ("estimator", {}), ("network", [])):
        tree.attrs["nnft_ppl"] = json.dumps({**record, name: value})
        store.write(tree, tmp_path / "c.nc")
        with pytest.raises(nnft.SpecError, match=r"c\.nc' holds what this version can"):
            nnft.load(tmp_path / "c.nc")


def test_a_disk_that_does_not_answer_is_not_damage(net, tmp_path, monkeypatch):
    nnft.exact_correlators(net, X).save(tmp_path / "c.nc")

    def read_bytes(self):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pathlib.Path.read_bytes", read_bytes)
    with pytest.raises(nnft.StorageError, match=r"cannot be read \(Input/output error"):
        nnft.load(tmp_path / "c.nc")


SAVES = """
import os, sys
import jax
import nnft_ppl as nnft
net = nnft.network("relu-net", width=4, input_dim=1)
exact = nnft.exact_correlators(net, [0.2, 0.6, 1.0])
drawn = nnft.sample_ensemble(net, [0.2, 0.6], 5, key=jax.random.key(0))
exact.save(sys.argv[1] + "/0.nc")  # imports what another user may not read
os.chmod(sys.argv[1], 0o555)
if os.getuid() == 0:
    os.setuid(65534)
for number, thing in enumerate([exact, drawn]):
    try:
        thing.save(sys.argv[1] + f"/{number}.nc")
    except nnft.StorageError as error:
        print(error)
"""


def test_a_folder_that_is_read_only_is_named(tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    for above in (tmp_path, *list(tmp_path.parents)[:-2]):
        above.chmod(above.stat().st_mode | 0o011)  # an ordinary user gets there
    done = subprocess.run(
        [sys.executable, "-c", SAVES, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.partition(";")[0] for line in done.stdout.splitlines()] == [
        f"`{folder}/{number}.nc` cannot be written (Permission denied)"
        for number in (0, 1)
    ]
    assert [path.name for path in folder.iterdir()] == ["0.nc"]
    assert nnft.load(folder / "0.nc").is_exact
