"""Tuning through the real command: its rounds are ordinary sweeps, so that it resumes."""

import json

from harness.records import open_store


def test_tuning_names_a_winner_and_a_second_call_measures_nothing(joulemark):
    """Five no-op configurations: the finalists are measured again with a fresh seed; then all is there.

    They are tuned by memory, which no busy host voids. How many are tied for the end is the machine's to say.
    """
    words = ("workload=noop", "seed=range(5)", "run.name=noops", "run.tune=memory.peak_rss", *joulemark.TINY)
    first = joulemark("run", *words)
    assert first.returncode == 0, first.stderr
    assert "tune: round 1: 5 configurations" in first.stderr
    assert "noop tiny infer: best is noop" in first.stdout
    store = open_store(joulemark.folder / "results")
    assert store.sweeps() == ["noops", "noops.1"]
    finalists, configurations = (len(store.records(sweep)[0]) for sweep in store.sweeps())
    assert 1 <= finalists <= configurations == 5
    again = joulemark("run", *words, "--json")
    assert again.returncode == 0
    assert [t["state"] for t in json.loads(again.stdout)["trials"]] == ["done"] * finalists
    assert [len(store.records(sweep)[0]) for sweep in store.sweeps()] == [finalists, 5]
