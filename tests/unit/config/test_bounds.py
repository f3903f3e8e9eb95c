"""What is asked for is bounded before a library expands it: one line, at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from harness.config.errors import ConfigError
from harness.planning.plan import make_plan


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seed=range(1000000000)"], "more than 20000 trials"),
        (["seed=shuffle(range(1000000000))"], "more than 20000 trials"),
        (["seed=range(0,10,0)"], "more than 20000 trials"),
        (["seed=range(1000)", "workload.batch=range(1,1000)"], "more than 20000 trials"),
        (["workload.data=" + "[" * 50], "nested more than 20 deep"),
        (["workload.data=" + "x" * 20_000], "longer than 10000"),
        (["seed=1"] * 2000, "at most 1000"),
        (["workload.data=${oc.env:HOME}"], "oc.env"),
        (["seed=glob(*)"], "no values to sweep over"),
        (["seed=" + "9" * 5000], "digits"),
        (["workload.data=${hydra:runtime.cwd}"], "hydra"),
        (["workload.data=${secret:}"], "secret"),
    ],
)
def test_what_has_no_end_is_refused(overrides: list[str], said: str) -> None:
    """Neither the parser nor the grid is asked to begin; nothing of the environment comes into a record."""
    OmegaConf.register_new_resolver("secret", lambda: "of another library", replace=True)
    with pytest.raises(ConfigError) as caught:
        make_plan(["workload=mlp", *overrides])
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_environment_is_there_again_for_others() -> None:
    """Another user of the library in this process keeps its resolver."""
    make_plan(["workload=mlp", "device=cpu"])
    assert OmegaConf.has_resolver("oc.env")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100 + "]" * 100, "nested more than 50 deep"),
        ("a: &a [1, 2]\nb: [" + ", ".join(["*a"] * 30) + "]", "more than 20 aliases"),
        ("- 1\n" * 100_001, "more than 5000 values"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_group_beyond_the_bounds_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    """Before Hydra reads it."""
    group = tmp_path / "workload"
    group.mkdir()
    (group / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        make_plan(["workload=mlp"], user_folders=[tmp_path])
    assert said in str(caught.value)
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.system [ls]", "a: 1\na: 2", "<<: *a", "1" * 5000, "x: !include /etc/passwd"],
)
def test_a_group_that_makes_no_plain_values_is_one_line(tmp_path: Path, text: str) -> None:
    """A tag, an alias of nothing, a key twice, a number without end: bad input, and no fault of ours."""
    (tmp_path / "price").mkdir()
    (tmp_path / "price" / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError):
        make_plan(["workload=noop", "device=cpu", "price=mine"], user_folders=[tmp_path])
