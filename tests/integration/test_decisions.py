"""`joulemark recommend`, from a sweep to an answer."""

from __future__ import annotations

import json

TINY = ["measure=quick", "measure.seconds=0.05", "measure.warmup_s=0", "measure.warmup_cap_s=0.05"]
TINY += ["measure.steady_window_s=0.01", "device=cpu", "power=none"]

REQUIREMENTS = """
load: {samples_per_day: 1 M}
objective: cost
price: site.yaml
limits: {memory.peak_rss: 64 GiB}
"""
SITE = """
currency: EUR
machines: {left: {hourly: {mid: 1.5, source: a price list, date: 2026-01-01}}}
"""


def test_a_question_is_answered_from_records_with_prices_read_then(joulemark):
    """The price is of the named machine; a limit that nothing keeps is exit code 1; a wrong key is 2."""
    run = joulemark("run", "workload=noop", "run.machine_name=left", *TINY)
    assert run.returncode == 0, run.stderr
    asked = joulemark.folder / "requirements.yaml"
    asked.write_text(REQUIREMENTS)
    (joulemark.folder / "site.yaml").write_text(SITE)
    done = joulemark("recommend", "noop", "--for", "requirements.yaml", "--json", "--as-of", "2026-02-01")
    assert done.returncode == 4, done.stderr  # one replica: a choice without a probability
    best = json.loads(done.stdout)["best"]
    rate = best["measured"]["throughput.samples"]["value"]
    assert best["devices"] == 1
    assert best["cost"]["mid"] == 1.5 / 3600 / rate * 1e6
    asked.write_text(REQUIREMENTS.replace("64 GiB", "1 KiB"))
    none = joulemark("recommend", "noop", "--for", "requirements.yaml")
    assert none.returncode == 1, none.stderr
    assert "No configuration satisfies Peak resident memory at most 1" in none.stdout
    asked.write_text(REQUIREMENTS.replace("objective", "objektive"))
    wrong = joulemark("recommend", "noop", "--for", "requirements.yaml")
    assert wrong.returncode == 2
    assert "requirements.yaml: objektive: no such key; did you mean objective?" in wrong.stderr
