"""`joulemark list` of what transforms a workload."""

import json
import subprocess
import sys

import pytest

from harness.cli import main
from workloads.compress.registry import COMPRESSORS
from workloads.parallel.registry import STRATEGIES


@pytest.mark.parametrize(("what", "registry"), [("compressors", COMPRESSORS), ("strategies", STRATEGIES)])
def test_every_registered_one_is_listed_with_what_its_spec_says(capsys, what, registry):
    """Names, modes, needs and the defaults of settings."""
    assert main(["list", what, "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == registry.names()
    for name, row in rows.items():
        spec = registry.get(name).spec
        assert row["modes"] == list(spec.modes)
        assert row["needs"] == sorted(spec.needs)
        assert row["devices"] == list(spec.devices)
        assert row["settings"] == {key: setting.default for key, setting in spec.settings.items()}
        assert row["summary"] == spec.summary


def test_the_table_shows_settings_by_name(capsys):
    """As one writes them."""
    assert main(["list", "compressors"]) == 0
    assert "sparsity=0.5" in capsys.readouterr().out


def test_listing_loads_no_torch():
    """Specs are plain data."""
    code = "import sys; from harness.cli import main; main(['list', 'compressors', '--json'])"
    check = "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code + check], capture_output=True).returncode == 0
