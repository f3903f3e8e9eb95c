"""The connection to an endpoint: its parser is of the extra serve."""

import subprocess
import sys


def test_a_worker_starts_without_the_extra():
    """Every worker loads the recipe of an endpoint; only one that asks an endpoint needs httptools."""
    code = "import sys; sys.modules['httptools'] = None; import harness.trial.replica"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)
