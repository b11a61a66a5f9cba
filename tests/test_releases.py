"""What a release wrote is read by every later one, and gives the same numbers."""

import re
import warnings

import numpy as np
import pytest
import xarray as xr
from release_files import FOLDER, KINDS, NEWEST, SUMS, file_of, numbers_of, releases
from write_files import numbers

import nnft_ppl as nnft
from nnft_ppl import store
from nnft_ppl._checkpoint import load_checkpoint
from nnft_ppl.inference.posterior import EarlierFitWarning

UNSEALED = {"0.1.0", "0.2.0"}
OTHER_LIKELIHOOD = {"0.1.0", "0.2.0"}
"""Releases whose fits are of another likelihood."""


def written(release, name, folder):
    path = folder / name
    path.write_bytes(file_of(release, name))
    return path


def loaded(path):
    """What is in a file, and the categories of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = nnft.load(path)
    return found, {warning.category for warning in caught}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        # The scale of couplings is computed again, and zero is left of covariances.
        np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("release", releases())
def test_files_of_every_release_give_their_numbers(release, kind, tmp_path):
    found, warned = loaded(written(release, f"{kind}.nc", tmp_path))
    assert_equal(numbers(found), numbers_of(release)[kind])
    expected = {store.UncheckedFileWarning} if release in UNSEALED else set()
    if release in OTHER_LIKELIHOOD and kind in ("fit", "running_fit"):
        expected.add(EarlierFitWarning)
    assert warned == expected


@pytest.mark.parametrize("release", releases())
def test_sums_of_every_release_are_read(release, tmp_path):
    path = written(release, SUMS, tmp_path)
    found = load_checkpoint(path, {"orders": [2, 4]})
    assert found.record["num_draws"] == 65536
    expected = numbers_of(release)["sums"]
    assert {name: a.tolist() for name, a in found.arrays.items()} == expected
    with pytest.raises(
        nnft.SpecError, match=r"its version is '0\..*', expected '9\.0'"
    ):
        load_checkpoint(path, {"version": "9.0"})


def test_every_release_in_the_changelog_left_its_files():
    changelog = (FOLDER.parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    named = re.findall(r"^## \[(\d.*)\]", changelog, flags=re.MULTILINE)
    assert named
    assert set(named) <= set(releases())


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("measured", set()),
        ("fit", {EarlierFitWarning}),
        ("running_fit", {EarlierFitWarning}),
    ],
)
def test_an_earlier_file_that_is_saved_again_is_sealed(kind, left, tmp_path):
    """And its fit still is that of an earlier version."""
    path = written("0.2.0", f"{kind}.nc", tmp_path)
    found, _ = loaded(path)
    found.save(path)
    again, warned = loaded(path)
    assert warned == left
    assert numbers(again) == numbers(found)


@pytest.mark.parametrize("release", [NEWEST, "0.2.0"])
def test_xarray_alone_reads_the_arrays(release, tmp_path):
    path = written(release, "measured.nc", tmp_path)
    expected = numbers_of(release)["measured"]["connected 4"]
    with xr.open_datatree(path) as tree:
        np.testing.assert_allclose(tree["order_4/connected"], expected, rtol=1e-12)
    with xr.open_dataset(path, group="order_4") as order:
        np.testing.assert_allclose(order["connected"], expected, rtol=1e-12)


def test_a_file_of_a_later_schema_is_refused_with_its_version(tmp_path, monkeypatch):
    net = nnft.network("relu-net", width=4, input_dim=1)
    found = nnft.exact_correlators(net, [0.2, 0.6], 2)
    monkeypatch.setattr(store, "SCHEMA", 3)
    monkeypatch.setattr(store, "__version__", "1.0.0")
    found.save(tmp_path / "c.nc")
    monkeypatch.undo()
    with pytest.raises(
        nnft.SpecError, match=r"schema 3; this version reads 1 and 2.*nnft_ppl 1\.0\.0"
    ):
        nnft.load(tmp_path / "c.nc")
