"""The configuration's models: strict keys, bounded values, and what follows from them."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from harness.config.models import Config, MeasureConfig, OptimizeConfig
from workloads.optimize import EAGER


def config(**sections) -> Config:
    """Return a configuration with these sections."""
    return Config.model_validate({"workload": {"name": "noop"}, **sections})


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("workload", {"name": "noop", "batch": 0}),
        ("workload", {"name": "noop", "shape": {"layers": [1]}}),
        ("workload", {"name": "noop", "shape": {"layers": math.inf}}),
        ("workload", {"name": "noop", "source_sha256": "abc"}),
        ("workload", {"name": "noop", "temperature": 0}),
        ("parallel", {"name": "ddp", "ranks": 0}),
        ("precision", {"name": "fp12"}),
        ("device", {"index": -1}),
        ("measure", {"seconds": 0}),
        ("measure", {"seconds": math.nan}),
        ("measure", {"target_loss": math.inf}),
        ("power", {"sample_hz": 2001}),
        ("run", {"name": "../up"}),
        ("run", {"monitor_port": 65536}),
        ("report", {"limits": {"loss.last": math.nan}}),
        ("mesure", {}),
    ],
)
def test_what_cannot_be_meant_is_refused(section, value):
    """Zero, infinity, paths for names, lists for numbers, and sections that there are not."""
    with pytest.raises(ValidationError) as refused:
        config(**{section: value})
    assert refused.value.errors()[0]["loc"][0] == section


def test_an_unknown_key_is_an_error_in_every_section():
    """A typing error never runs as the default."""
    for name, field in Config.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            content = {"name": "noop"} if name == "workload" else {}
            with pytest.raises(ValidationError, match="extra_forbidden"):
                config(**{name: content | {"no_such_key": 1}})


def test_a_configuration_cannot_be_changed():
    """What was validated is what runs."""
    made = config()
    with pytest.raises(ValidationError, match="frozen"):
        made.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        made.measure.seconds = 1.0


def test_the_interval_to_plan_for_depends_on_the_device():
    """The CPU's noise is larger."""
    measure = MeasureConfig(target_cpu=0.2, target_accelerator=0.03)
    assert [measure.target(kind) for kind in ("cpu", "cuda", "tpu")] == [0.2, 0.03, 0.03]


def test_limits_need_a_metric_that_has_a_direction():
    """Of less or more; a count is neither better nor worse."""
    assert config(report={"limits": {"latency.p99": 0.2}}).report.limits == {"latency.p99": 0.2}
    with pytest.raises(ValidationError, match=r"no such metric latency.p9; did you mean latency.p99\?"):
        config(report={"limits": {"latency.p9": 1}})


def test_the_plain_optimisation_is_the_workloads_own():
    """A name alone changes nothing; a key does."""
    assert OptimizeConfig().wanted() == EAGER
    assert OptimizeConfig(name="other", cuda_graphs=True).wanted() != EAGER
