"""A study file is validated whole before any work starts; messages name the key."""

from pathlib import Path

import numpy as np
import pytest

from nnft_ppl import (
    Action,
    Ball,
    Empirical,
    NnftError,
    PluginError,
    SpecError,
    UnavailableError,
)
from nnft_ppl.study import read_study

ROOT = Path(__file__).parent.parent

GOOD = """
[network]
architecture = "relu-net"
widths = [10, 2]

[inputs]
points = [0.5, 1.0]

[ensemble]
num_draws = 100
seed = 3

[eft]
width = 20
operators = ["lambda_0"]
cutoffs = [100, 7, 20.5]
"""


def read(tmp_path: Path, text: str, **options):
    path = tmp_path / "tiny.toml"
    path.write_text(text)
    return read_study(path, **options)


def test_values_and_defaults_are_read(tmp_path: Path):
    study = read(tmp_path, GOOD)
    assert study.name == "tiny"
    assert study.text == GOOD
    assert study.widths == (2, 10)
    assert study.network.width == study.eft.width == 20
    assert study.points.tolist() == study.eft.points.tolist() == [[0.5], [1.0]]
    assert study.ensemble.estimator == "conditional"
    assert study.ensemble.plain_draws == 0
    assert study.ensemble.seed == 3
    assert study.eft.cutoffs == (7.0, 20.5, 100.0)
    assert study.eft.comparison_cutoff == 20.5
    assert study.eft.tolerance == 0.1
    assert read(tmp_path, GOOD + "tolerance = 0.02\n").eft.tolerance == 0.02
    assert study.eft.num_draws == 100
    assert study.eft.candidates == ()
    assert (study.eft.data, study.eft.sampler) == ("measured", "nuts")
    assert study.directory == Path("runs/tiny")


def test_measure_and_scheme_are_read(tmp_path: Path):
    study = read(tmp_path, GOOD)
    assert study.eft.action == Action(["lambda_0"])
    extra = 'measure = "ball"\nscheme = "bare"\ncandidates = [["lambda_0"], '
    study = read(tmp_path, GOOD + extra + '["lambda_0", "lambda_2"]]\n')
    for action in (study.eft.action, *study.eft.candidates):
        assert action.measure == Ball()
        assert action.is_bare
    assert study.record() != read(tmp_path, GOOD).record()


def test_an_empirical_measure_reads_its_data_beside_the_study(tmp_path: Path):
    (tmp_path / "data.csv").write_text("0.5\n1.5\n-2.0\n")
    extra = 'measure = "empirical"\nmeasure_file = "data.csv"\n'
    study = read(tmp_path, GOOD + extra)
    assert study.eft.action.measure == Empirical([[0.5], [1.5], [-2.0]])


def test_one_width_may_be_written_as_a_number(tmp_path: Path):
    text = GOOD.replace("widths = [10, 2]", "width = 7")
    assert read(tmp_path, text).widths == (7,)


def test_the_fit_takes_the_only_width_unless_told(tmp_path: Path):
    text = GOOD.replace("widths = [10, 2]", "width = 7").replace("width = 20\n", "")
    assert read(tmp_path, text).eft.width == 7
    with pytest.raises(SpecError, match=r"`eft.width` is missing"):
        read(tmp_path, GOOD.replace("width = 20\n", ""))


def test_infinite_cutoff_may_be_written_in_two_ways(tmp_path: Path):
    for way in ('"inf"', "inf"):
        text = GOOD.replace("[100, 7, 20.5]", f"[{way}]")
        assert read(tmp_path, text).eft.cutoffs == (np.inf,)


def test_inputs_of_the_fit_may_differ(tmp_path: Path):
    study = read(tmp_path, GOOD + "points = [0.1, 0.2, 0.3]\n")
    assert len(study.points) == 2
    assert len(study.eft.points) == 3


def test_inputs_default_to_the_suggested_ones(tmp_path: Path):
    study = read(
        tmp_path, GOOD.replace("points = [0.5, 1.0]", "").replace("100", "1000")
    )
    suggested = study.network.architecture.suggested_inputs[1]
    assert study.points.tolist() == suggested


@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_inputs_from_a_file_beside_the_study(tmp_path: Path, suffix: str):
    points = np.array([[0.25, 1.0], [0.5, -1.0]])
    if suffix == "npy":
        np.save(tmp_path / "x.npy", points)
    else:
        np.savetxt(tmp_path / "x.csv", points, delimiter=",")
    text = GOOD.replace("points = [0.5, 1.0]", f'file = "x.{suffix}"')
    study = read(tmp_path, text.replace("[network]", "[network]\ninput_dim = 2"))
    np.testing.assert_array_equal(study.points, points)


def test_columns_of_inputs_are_chosen_by_name(tmp_path: Path):
    (tmp_path / "x.csv").write_text("age,price,size\n1,0.5,7\n2,0.25,8\n")
    text = GOOD.replace("points = [0.5, 1.0]", 'file = "x.csv"\ncolumns = ["price"]')
    assert read(tmp_path, text).points.tolist() == [[0.5], [0.25]]


def test_given_directory_wins(tmp_path: Path):
    text = GOOD + '[output]\ndirectory = "there"\n'
    assert read(tmp_path, text).directory == Path("there")
    assert read(tmp_path, text, directory="here").directory == Path("here")


def test_record_holds_inputs_and_is_the_same_for_the_same_study(tmp_path: Path):
    record = read(tmp_path, GOOD).record()
    assert record == read(tmp_path, "# a comment\n" + GOOD).record()
    assert record["inputs"]["points"] == [[0.5], [1.0]]
    assert record != read(tmp_path, GOOD.replace("seed = 3", "seed = 4")).record()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=str)
def test_every_example_is_valid(path: Path):
    study = read_study(path)
    assert study.data or study.training or study.eft.candidates


BAD = {
    "misspelt key": (
        "widths",
        "witdhs",
        SpecError,
        r"unknown key `network.witdhs` \(did you mean `network.widths`\?\); the keys "
        r"of \[network\] are \['architecture', ",
    ),
    "unlike any key": (
        "seed = 3",
        "zzz = 3",
        SpecError,
        r"unknown key `ensemble.zzz`; the keys of \[ensemble\] are",
    ),
    "unknown table": (
        "[eft]",
        "[etf]",
        SpecError,
        r"unknown key `etf` \(did you mean `eft`\?\); the keys of a study file are",
    ),
    "no table": (
        '[network]\narchitecture = "relu-net"\nwidths = [10, 2]',
        "network = 3",
        SpecError,
        r"`network` is 3; expected a table, written \[network\]",
    ),
    "tolerance of nothing": (
        "[eft]",
        "[eft]\ntolerance = 0",
        SpecError,
        "`eft.tolerance` is 0; expected a number > 0",
    ),
    "missing key": (
        'architecture = "relu-net"',
        "",
        SpecError,
        "`network.architecture` is missing from the study file; expected a text",
    ),
    "unknown architecture": (
        "relu-net",
        "rleu-net",
        PluginError,
        "`network`: no architecture 'rleu-net'; there are",
    ),
    "text for a number": (
        "seed = 3",
        'seed = "3"',
        SpecError,
        "`ensemble.seed` is '3'; expected a whole number from 0 to 2³² − 1",
    ),
    "true for a number": (
        "num_draws = 100",
        "num_draws = true",
        SpecError,
        "`ensemble.num_draws` is True; expected a whole number ≥ 1",
    ),
    "negative seed": ("seed = 3", "seed = -3", SpecError, "`ensemble.seed` is -3"),
    "fraction for a width": (
        "[10, 2]",
        "[10, 2.5]",
        SpecError,
        r"`network.widths\[1\]` is 2.5; expected a whole number ≥ 1",
    ),
    "one width twice": (
        "[10, 2]",
        "[10, 10]",
        SpecError,
        "`network.widths` holds 10 twice; give it once",
    ),
    "no widths": (
        "[10, 2]",
        "[]",
        SpecError,
        r"`network.widths` is \[\]; expected a non-empty list, each item a whole",
    ),
    "both widths": (
        "widths = [10, 2]",
        "widths = [10, 2]\nwidth = 3",
        SpecError,
        "needs either `network.width`, one number, or `network.widths`",
    ),
    "negative standard deviation": (
        "widths",
        "weight_std = -1.0\nwidths",
        SpecError,
        "`network`: `weight_std` is -1.0; expected a finite number ≥ 0",
    ),
    "unknown option": (
        "widths",
        "options = {depth = 3}\nwidths",
        SpecError,
        r"`network`: architecture 'relu-net' has no option \['depth'\]",
    ),
    "options no table": (
        "widths",
        "options = 3\nwidths",
        SpecError,
        "`network.options` is 3; expected a table",
    ),
    "hexadecimal of thousands of digits": (
        "widths",
        f"options = 0x{'f' * 9000}\nwidths",
        SpecError,
        "is no valid TOML: Exceeds the limit",
    ),
    "inputs of another dimension": (
        "[0.5, 1.0]",
        "[[0.5, 1.0]]",
        SpecError,
        r"`inputs.points`: inputs have shape \(1, 2\)",
    ),
    "equal inputs": (
        "[0.5, 1.0]",
        "[0.5, 0.5]",
        SpecError,
        "`inputs.points`: input .* is given more than once",
    ),
    "inputs twice": (
        "points = [0.5, 1.0]",
        'points = [0.5]\nfile = "x.npy"',
        SpecError,
        "`inputs.points` and `inputs.file` are both given",
    ),
    "no such file": (
        "points = [0.5, 1.0]",
        'file = "x.npy"',
        SpecError,
        "`inputs.file`: cannot read 'x.npy'",
    ),
    "file of another kind": (
        "points = [0.5, 1.0]",
        'file = "x.xlsx"',
        SpecError,
        "`inputs.file`: 'x.xlsx' is neither .npy nor .csv",
    ),
    "columns without a file": (
        "points = [0.5, 1.0]",
        'points = [0.5, 1.0]\ncolumns = ["x"]',
        SpecError,
        "`inputs.columns` is of a file, and `inputs.file` is not given",
    ),
    "no inputs in many dimensions": (
        "points = [0.5, 1.0]",
        "",
        SpecError,
        "`inputs.points` is missing, and 'relu-net' suggests no inputs of dimension 9",
    ),
    "too few networks": (
        "num_draws = 100",
        "num_draws = 15",
        SpecError,
        "`ensemble.num_draws` is 15; expected more than 15, the number of correlator",
    ),
    "unknown estimator": (
        "seed = 3",
        'estimator = "magic"',
        SpecError,
        "`ensemble.estimator` is 'magic'; choose one of",
    ),
    "plain moments twice": (
        "seed = 3",
        'estimator = "moments"\nplain_draws = 100',
        SpecError,
        "`ensemble.plain_draws` is 100, but the estimator is 'moments'",
    ),
    "unknown operator": (
        '"lambda_0"',
        '"lambda_x"',
        PluginError,
        "`eft.operators`: no operator 'lambda_x'; there are",
    ),
    "negative cutoff": (
        "[100, 7, 20.5]",
        "[100, -7]",
        SpecError,
        r"`eft.cutoffs\[1\]` is -7; expected a number > 0, or \"inf\"",
    ),
    "unknown sampler": (
        "[eft]",
        '[eft]\nsampler = "hmc"',
        SpecError,
        r"`eft.sampler` is 'hmc'; choose one of \['nuts', 'conjugate'\]",
    ),
    "comparison elsewhere": (
        "[eft]",
        "[eft]\ncomparison_cutoff = 8",
        SpecError,
        "`eft.comparison_cutoff` is 8.0; expected one of `eft.cutoffs`",
    ),
    "one candidate": (
        "[eft]",
        '[eft]\ncandidates = [["lambda_0"]]',
        SpecError,
        "`eft.candidates` is .*; expected at least two actions",
    ),
    "candidates of different orders": (
        "[eft]",
        '[eft]\ncandidates = [["lambda_0"], ["kappa"]]',
        SpecError,
        "`eft.candidates` is .* same numbers of fields",
    ),
    "unknown candidate": (
        "[eft]",
        '[eft]\ncandidates = [["lambda_0"], ["lambda_x"]]',
        PluginError,
        r"`eft.candidates\[1\]`: no operator 'lambda_x'",
    ),
    "unknown measure": (
        "[eft]",
        '[eft]\nmeasure = "sphere"',
        SpecError,
        "`eft.measure` is 'sphere'; choose one of .*'ball'",
    ),
    "unknown scheme": (
        "[eft]",
        '[eft]\nscheme = "on-shell"',
        SpecError,
        "`eft.scheme` is 'on-shell'; choose one of .*'bare'",
    ),
    "a measure that is no word": (
        "[eft]",
        "[eft]\nmeasure = 3",
        SpecError,
        "`eft.measure` is 3",
    ),
    "data for a measure without": (
        "[eft]",
        '[eft]\nmeasure_file = "data.csv"',
        SpecError,
        "`eft.measure_file`",
    ),
    "no TOML": ("[eft]", "[eft", SpecError, "tiny.toml is no valid TOML"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_file_is_refused(tmp_path: Path, case: str):
    old, new, kind, message = BAD[case]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if "dimensions" in case:
        text = text.replace("widths", "input_dim = 9\nwidths")
    with pytest.raises(kind, match=message):
        read(tmp_path, text)


def test_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(SpecError, match=r"study file '.*none.toml': no such file"):
        read_study(tmp_path / "none.toml")


BARE = """
import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
import nnft_ppl as nnft

def prior(hp):
    shape = (hp.input_dim, hp.width)
    return numpyro.sample("W0", dist.Normal(0, 1).expand(shape).to_event())

@nnft.hookimpl
def nnft_ppl_architecture():
    return nnft.Architecture(
        name="bare",
        description="a test",
        prior=prior,
        apply=lambda hp, W, x: jnp.sum(jnp.sin(x @ W), keepdims=True) / hp.width**0.5,
        kernel=KERNEL,
        symmetries=frozenset({"sign"}),
    )
"""


def test_a_network_without_sixth_moments_is_refused_before_any_work(tmp_path):
    """Weights of Student's law with ν = 5 have a fourth moment and no sixth."""
    text = GOOD.replace('"relu-net"', '"mlp"').replace(
        "[inputs]",
        '[network.options]\ndepth = 1\nweight_law = "student-t"\n'
        "degrees_of_freedom = 5\n\n[inputs]",
    )
    with pytest.raises(
        UnavailableError,
        match=r"`ensemble.orders`: .* moment of order 6; .* commands correlators, fit",
    ):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("kernel", "extra", "message"),
    [
        ("None", "", "`network.architecture`: architecture 'bare' gives no GP kernel"),
        (
            "lambda hp, x, y: jnp.dot(x, y)",
            'data = "exact"\n',
            "`eft.data` is 'exact', but architecture 'bare' gives no i.i.d. neuron",
        ),
    ],
)
def test_what_the_architecture_cannot_give_is_refused(
    tmp_path: Path, install_plugins, kernel: str, extra: str, message: str
):
    install_plugins("bare-plugin", {"bare": BARE.replace("KERNEL", kernel)})
    text = GOOD.replace("relu-net", "bare") + extra
    with pytest.raises(UnavailableError, match=message):
        read(tmp_path, text)


def test_every_refusal_is_an_error_of_ours():
    assert all(issubclass(kind, NnftError) for _, _, kind, _ in BAD.values())


@pytest.mark.parametrize(
    "given", ["../../x", "/etc/x", "a/../../x", "~/x", "~", ".", "a\\u0000b", "a" * 300]
)
def test_a_study_file_names_a_folder_below_the_current_one(tmp_path: Path, given: str):
    text = GOOD + f'[output]\ndirectory = "{given}"\n'
    with pytest.raises(
        SpecError, match=r"^`output.directory` is .*below the current.*--output$"
    ) as caught:
        read(tmp_path, text)
    assert len(str(caught.value)) < 300
    assert read(tmp_path, text, directory="../x").directory == Path("../x")
    inside = GOOD + '[output]\ndirectory = "runs/mine/./a"\n'
    assert read(tmp_path, inside).directory == Path("runs/mine/a")
