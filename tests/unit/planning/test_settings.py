"""Settings of compressors and strategies on the command line: checked, part of the work, told apart."""

import pytest

from harness.config.errors import ConfigError
from harness.planning.plan import make_plan

CPU = "device=cpu"


def plan(*overrides):
    """Plan on the CPU."""
    return make_plan([CPU, "workload=gpt", *overrides])


def test_a_setting_is_swept_and_makes_another_work():
    """Each value is a trial of its own; the default is the same work by name."""
    trials = plan("compress=prune", "compress.settings.sparsity=0.5,0.75").trials
    assert [t.config.compress.settings["sparsity"] for t in trials] == [0.5, 0.75]
    assert trials[0].work_id == plan("compress=prune").trials[0].work_id != trials[1].work_id


def test_a_strategy_s_setting_is_set_too():
    """By the same words."""
    (trial,) = plan("parallel=ddp", "parallel.settings.bucket_mib=10").trials
    assert trial.config.parallel.settings["bucket_mib"] == 10


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("compress.settings.sparsty=0.3", "prune has no setting 'sparsty'; did you mean sparsity"),
        ("compress.settings.sparsity=2", "sparsity must be at most 0.99, not 2.0"),
        ("compress.settings.scope=world", "scope must be one of layer, global, not 'world'"),
        ("compress.settings.layers=3", "layers must be of type str, not 3"),
    ],
)
def test_a_wrong_setting_is_one_line_before_anything_starts(override, message):
    """It names the setting, what it may be, and the nearest name."""
    with pytest.raises(ConfigError, match=message):
        plan("compress=prune", override)


def test_a_setting_without_its_compressor_is_refused():
    """No compressor, no settings."""
    with pytest.raises(ConfigError, match="compress none has no settings"):
        plan("compress.settings.sparsity=0.5")


def test_an_impossible_cell_has_its_reason():
    """The others stay."""
    planned = plan("workload.mode=train,decode", "compress=lora,int8_weight")
    assert {(t.config.workload.mode, t.config.compress.name) for t in planned.runnable} == {
        ("train", "lora"),
        ("decode", "int8_weight"),
    }
    assert all("has no meaning in mode" in t.refusal for t in planned.refused)
