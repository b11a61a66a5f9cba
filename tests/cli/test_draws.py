"""`nnft correlators --from-draws`: a file of draws in, correlators out."""

import json
import pickle
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner

import nnft_ppl as nnft
from nnft_ppl.cli import main
from nnft_ppl.correlators.drawn.files import digest_of

X = np.array([[-0.6], [0.3], [0.9]])


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


class Opens:
    """Unpickled it leaves a file."""

    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


@pytest.fixture
def draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    ensemble = nnft.sample_ensemble(net, X, 3000, key=jax.random.key(0))
    np.save("x.npy", X)
    np.save("draws.npy", ensemble.values[:, :, 0] + 1.0)
    np.save("chains.npy", ensemble.values[:, :, 0].reshape(3, 1000, 3))
    ensemble.save("ens.nc")
    return ensemble


FROM = ("correlators", "--from-draws")
INPUTS = ("--inputs", "x.npy", "-o", "corr.nc")
EXIT_BAD_INPUT = 2


def test_draws_of_a_file_give_the_correlators_of_the_array(draws):
    result = run(*FROM, "draws.npy", *INPUTS)
    assert result.exit_code == 0, result.output
    assert "correlators of 3,000 draws in corr.nc" in result.output
    assert "1      3        the same               -" in result.output
    assert "2      6        the same               -" in result.output
    assert "standard errors from zero" in result.output
    found = nnft.load("corr.nc")
    expected = nnft.correlators_from_draws(draws.values + np.float32(1.0), X)
    assert found.orders == (1, 2, 3, 4)
    for k in found.orders:
        np.testing.assert_array_equal(found.connected(k), expected.connected(k))


def test_an_ensemble_that_was_saved_is_read_beside_its_kernel(draws):
    network = ("correlators", "erf-net", "--width", 5, "--bias-std", 1)
    result = run(*network, "--from-draws", "ens.nc", "--order", 4, *INPUTS)
    assert result.exit_code == 0, result.output
    found = nnft.load("corr.nc")
    assert found.orders == (2, 4)
    assert found.network.width == 5
    np.testing.assert_allclose(found.network.kernel(X), draws.network.kernel(X))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_draws_of_zarr_are_those_of_npy(draws, zarr_format):
    values = np.load("draws.npy")
    zarr.create_array("one.zarr", data=values, chunks=(700, 2), zarr_format=zarr_format)
    group = zarr.open_group("group.zarr", mode="w", zarr_format=zarr_format)
    group.create_array("values", data=values)
    group.create_array("time", data=np.arange(len(values)))
    expected = nnft.correlators_from_draws(values, X)
    for name in ("one.zarr", "group.zarr"):
        result = run(*FROM, name, *INPUTS, "--force")
        assert result.exit_code == 0, result.output
        np.testing.assert_array_equal(
            nnft.load("corr.nc").connected(4), expected.connected(4)
        )
    del group["values"]
    group.create_array("steps", data=np.arange(len(values)))
    result = run(*FROM, "group.zarr", *INPUTS, "--force")
    assert "holds the arrays ['steps', 'time']; expected one, or" in result.output


def test_zarr_unpickles_nothing(draws):
    zarr.create_array("bad.zarr", data=np.load("draws.npy"), zarr_format=2)
    metadata = Path("bad.zarr/.zarray")
    given = json.loads(metadata.read_text())
    metadata.write_text(json.dumps({**given, "filters": [{"id": "pickle"}]}))
    Path("bad.zarr/0.0").write_bytes(pickle.dumps(Opens()))
    result = run(*FROM, "bad.zarr", *INPUTS)
    assert result.exit_code == EXIT_BAD_INPUT
    assert "cannot read 'bad.zarr'" in result.output
    assert not Path("unpickled").exists()


def test_draws_in_netcdf_may_have_other_variables_beside_them(draws):
    values = draws.values[:, :, 0]
    field = xr.Dataset({"phi": (("point", "draw"), values.T)})
    field.assign(energy=(("draw",), values[:, 0])).to_netcdf("e.nc", engine="h5netcdf")
    result = run(*FROM, "e.nc", *INPUTS)
    assert result.exit_code == 0, result.output
    field.rename(draw="cfg", point="site").to_netcdf("other.nc", engine="h5netcdf")
    result = run(*FROM, "other.nc", "--force", *INPUTS)
    assert result.exit_code == EXIT_BAD_INPUT
    assert "'other.nc' holds phi (site, cfg); expected one with" in result.output


def test_without_zarr_it_says_what_to_install(draws, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    result = run(*FROM, "one.zarr", *INPUTS)
    assert result.exit_code == EXIT_BAD_INPUT
    assert "pip install 'nnft-ppl[zarr]'" in result.output


def test_a_folder_that_changes_has_another_digest(tmp_path):
    folder = tmp_path / "a.zarr"
    (folder / "c").mkdir(parents=True)
    (folder / "c" / "0").write_bytes(b"one")
    before = digest_of(folder)
    assert before == digest_of(folder)
    assert before != digest_of(folder / "c" / "0")
    (folder / "c" / "0").rename(folder / "c" / "1")
    assert digest_of(folder) != before


def test_chains_and_a_width_reach_the_library(draws):
    result = run(*FROM, "chains.npy", "--chains", "--width", 7, *INPUTS, "--json")
    assert result.exit_code == 0, result.output
    found = nnft.load("corr.nc")
    assert found.network.width == 7
    assert found.autocorrelation[1] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("draws.npy", *INPUTS, "--num-draws", 5), "`--from-draws` samples nothing"),
        (("draws.npy", *INPUTS, "--exact"), "are both given"),
        (("draws.csv", *INPUTS), "is none of .npy, .nc and .zarr"),
        (("none.npy", *INPUTS), "cannot read 'none.npy': no such file or directory"),
        (("x.npy", *INPUTS), "of 1 inputs, and `x` has 3"),
        (("corr2.nc", *INPUTS), "cannot read 'corr2.nc'"),
        (("draws.npy", "-o", "corr.nc"), "give --inputs or --points"),
    ],
)
def test_what_does_not_fit_is_bad_input(draws, arguments, match):
    result = run(*FROM, *arguments)
    assert result.exit_code == EXIT_BAD_INPUT
    assert match in result.output


def test_the_name_is_missed_where_there_are_no_draws(draws):
    result = run("correlators", *INPUTS)
    assert result.exit_code == EXIT_BAD_INPUT
    assert "Missing argument 'NAME'" in result.output
    result = run("correlators", "erf-net", *INPUTS)
    assert "Missing option '--width'" in result.output
    result = run("correlators", "erf-net", "--width", 5, "--chains", *INPUTS)
    assert "give them with --from-draws" in result.output


def test_points_that_are_a_file_are_told_the_option_for_it(draws):
    np.savetxt("x.csv", X)
    result = run(*FROM, "draws.npy", "--points", "x.csv", "-o", "corr.nc")
    assert result.exit_code == EXIT_BAD_INPUT
    assert "`--points x.csv` is a file; give it with --inputs" in result.output


def test_a_mean_that_hides_the_law_is_said_with_the_connected_functions(draws):
    """Exponential draws: cumulants 2 and 6 in units of the standard deviation."""
    rng = np.random.default_rng(0)
    np.save("skew.npy", 1e4 + 50.0 * rng.exponential(size=(40_000, 3)))
    told = run(*FROM, "skew.npy", *INPUTS).stderr
    found = nnft.load("corr.nc")
    third, fourth = (
        np.abs(found.connected(k)).max() / found.connected(2)[0] ** (k / 2)
        for k in (3, 4)
    )
    assert "larger than the standard deviation" in told
    sizes = [float(part.split()[-1]) for part in told.split(" for the ")[:2]]
    assert sizes == pytest.approx([third, fourth], rel=0.06)
    assert sizes == pytest.approx([2.0, 6.0], rel=0.2)
    assert "a few networks" not in told
    np.save("even.npy", rng.normal(size=(4_000, 3)) + 0.5)
    assert "larger than" not in run(*FROM, "even.npy", *INPUTS, "--force").stderr
