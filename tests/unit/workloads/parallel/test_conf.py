"""The configuration's group of strategies against their specs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from workloads.parallel.registry import BUILT_IN, STRATEGIES

GROUP = Path(__file__).parents[4] / "conf" / "parallel"


def test_every_strategy_has_its_file_and_every_file_its_strategy():
    """A strategy without a file cannot be chosen by name."""
    assert {path.stem for path in GROUP.glob("*.yaml")} == {*BUILT_IN, "none"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_file_gives_the_specs_own_defaults(name):
    """What a sweep overrides is there to be overridden, and starts at what the spec says."""
    given = yaml.safe_load((GROUP / f"{name}.yaml").read_text())
    spec = STRATEGIES.get(name).spec
    assert given["name"] == spec.name == name
    assert given["settings"] == {key: setting.default for key, setting in spec.settings.items()}
    assert given["ranks"] >= 1
