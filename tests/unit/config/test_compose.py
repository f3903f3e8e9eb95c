"""Composition: ordinary Hydra syntax in, one plain mapping per trial out, and errors in one line."""

import itertools
import random

import pytest

from harness.config.compose import Composer
from harness.config.errors import ConfigError
from harness.config.validate import known_keys


@pytest.fixture
def composer():
    """A composer of our own groups."""
    with Composer() as made:
        yield made


def test_what_is_composed_has_the_declared_keys(composer):
    """All of them and no other: by them a misspelt override is known before Hydra sees it."""
    composed = composer.compose([])
    assert composed.pop("sweep") == []

    def held(part, prefix):
        for key, value in part.items():
            yield prefix + key
            if isinstance(value, dict):
                yield from held(value, f"{prefix}{key}.")

    assert sorted(held(composed, "")) == sorted(known_keys())


def test_a_sweep_is_the_product_of_its_values(composer):
    """`a=1,2 b=3,4` gives four trials, each with one combination."""
    jobs = composer.jobs(["workload=gpt,bert", "precision=fp32,bf16"])
    found = {(j.config["workload"]["name"], j.config["precision"]["name"]) for j in jobs}
    assert found == set(itertools.product(("gpt", "bert"), ("fp32", "bf16")))


def test_the_cache_composes_what_hydra_composes(composer):
    """Random combinations of groups and values merge to the same mapping that Hydra gives for them."""
    rng = random.Random(7)
    groups = {g: o for g, o in composer.groups.items() if g != "experiment"}
    values = ["workload.batch=3", "seed=5", "measure.seconds=0.25", "run.timeout_s=9", "workload.data=null"]
    values += ["workload.mode=infer", "power.devices=[a,b]", "report.title='a, b'", "workload.lr=1e-4"]
    for _ in range(12):
        chosen = [f"{g}={rng.choice(groups[g])}" for g in rng.sample(sorted(groups), 4)]
        lines = chosen + rng.sample(values, 4)
        fixed, varying = lines[:2], lines[2:]
        rng.shuffle(varying)
        merged = composer._merged(tuple(fixed), varying)
        assert merged == composer.compose([*fixed, *varying]), lines


def test_a_group_that_reaches_beyond_its_key_is_left_to_hydra(tmp_path):
    """A user's group file with global effect composes right, although the cache cannot hold it."""
    (tmp_path / "precision").mkdir()
    (tmp_path / "precision" / "far.yaml").write_text(
        "# @package _global_\nprecision: {name: bf16}\nseed: 41\n"
    )
    with Composer([tmp_path]) as made:
        jobs = made.jobs(["precision=far,fp32"])
    assert [(j.config["precision"]["name"], j.config["seed"]) for j in jobs] == [("bf16", 41), ("fp32", 0)]


def test_users_groups_are_found_and_listed(tmp_path):
    """An option in the user's folder is as good as ours, in `groups` and in overrides."""
    (tmp_path / "workload").mkdir()
    (tmp_path / "workload" / "mine.yaml").write_text("name: gpt\nsize: base\n")
    with Composer([tmp_path]) as made:
        assert "mine" in made.groups["workload"]
        assert made.jobs(["workload=mine"])[0].config["workload"]["size"] == "base"


def test_experiment_grids_are_a_union_of_products(composer):
    """Each entry of `sweep` is a product of its lists; the trials are all entries' together."""
    jobs = composer.jobs(["+experiment=faults"])
    assert [j.config["workload"]["name"] for j in jobs].count("noop") == 3
    assert "hang" in {j.config["workload"]["shape"].get("fault") for j in jobs}


def test_a_value_beside_an_experiment_selects_the_trials_that_have_it(composer):
    """`+experiment=demo workload=gpt` keeps the demo's gpt trials and no others."""
    everything = composer.jobs(["+experiment=demo"])
    wanted = [j.config for j in everything if j.config["workload"]["name"] == "gpt"]
    assert [j.config for j in composer.jobs(["experiment=demo", "workload=gpt"])] == wanted


def test_a_value_that_no_trial_has_replaces_theirs(composer):
    """`precision=tf32` beside the demo measures its trials in tf32."""
    jobs = composer.jobs(["+experiment=demo", "workload=resnet", "precision=tf32"])
    assert {j.config["precision"]["name"] for j in jobs} == {"tf32"}
    assert {j.config["workload"]["mode"] for j in jobs} == {"train", "infer"}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["workload=gtp"], "did you mean gpt?"),
        (["workload=gpt,brt"], "did you mean bert?"),
        (["wrkload=gpt"], "did you mean workload?"),
        (["workload.bach=3"], "did you mean workload.batch?"),
        (["experiment=dmo"], "did you mean demo?"),
        (["workload.batch=(3"], "workload.batch=(3"),
        (["seed=[1"], "[1"),
        (["seed"], "seed"),
    ],
)
def test_bad_overrides_are_one_line_with_the_nearest_match(composer, overrides, said):
    """What does not exist or cannot be parsed is refused before anything starts."""
    with pytest.raises(ConfigError) as caught:
        composer.jobs(overrides)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_config_folder_is_refused(tmp_path):
    """A folder that is not there is an error, not an empty search path."""
    with pytest.raises(ConfigError, match="no such folder"):
        Composer([tmp_path / "absent"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("workload.data=/tmp/year=2019/9.txt", "'workload.data=\"/tmp/year=2019/9.txt\"'"),
        ("workload.data=/tmp/\u00fc.txt", "'workload.data=\"/tmp/\u00fc.txt\"'"),
        ("workload.data=/tmp/a#b.txt", "'workload.data=\"/tmp/a#b.txt\"'"),
        ("workload.data=/tmp/a(1).txt", "'workload.data=\"/tmp/a(1).txt\"'"),
        (
            "power.devices=[file:/l.csv?device=1&zone=UTC]",
            "'power.devices=[\"file:/l.csv?device=1&zone=UTC\"]'",
        ),
        ("seed", "an override is KEY=VALUE"),
        ("hydra.sweep.dir=/tmp/x", "has no effect"),
        ("+hydra.job.chdir=true", "has no effect"),
        ("hydra/launcher=submitit_slurm", "has no effect"),
    ],
)
def test_an_override_that_hydra_refuses_is_named_with_the_quoting_that_works(composer, override, said):
    """Of several, the one at fault; and what is advised is taken."""
    with pytest.raises(ConfigError) as caught:
        composer.jobs(["precision=fp32", "seed=1", "workload=gpt", override])
    assert str(caught.value).startswith(override.lstrip("+").partition("=")[0])
    assert said in str(caught.value)
    if said.startswith("'"):
        (job,) = composer.jobs(["workload=gpt", said.strip("'")])
        assert job.overrides
