"""A small run of the bench: our rules on simulated machines, held to the bounds of docs/statistics.md.

A share of a few hundred repetitions scatters, so a bound fails only where it would be that far off by chance
less than once in a thousand times. Everything is seeded: a failure is a change of the rules.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.stats_bench import estimates, orders, rules
from benchmarks.stats_bench.process import measured
from benchmarks.stats_bench.table import BEGIN, END, Bound, Table, write
from benchmarks.stats_bench.warming import soak, soaked
from benchmarks.stats_bench.world import DRIFT, LONG_BURSTS, QUIET, SPREAD, STEADY, WARMING, Session

DOCUMENT = Path(__file__).parents[3] / "docs" / "statistics.md"
REPETITIONS = 200


def at_least(hits, share):
    """Tell whether these hits may come from a share of at least this size."""
    hits = list(hits)
    return binomtest(sum(hits), len(hits), share, alternative="less").pvalue > 1e-3


def at_most(hits, share):
    """Tell whether these hits may come from a share of at most this size."""
    return at_least((not hit for hit in hits), 1 - share)


def named(scenario):
    """Name a test after its scenario."""
    return scenario.name


def test_the_fast_paths_are_the_harness():
    """Processes and soaks of every scenario, by the real loops on a scripted clock and on arrays."""
    assert estimates.differing(1) == 0


def test_the_whole_rule_runs_on_the_scripted_clock(monkeypatch):
    """Soak, pilot, plan, what it asks for, and the interval: by the harness's loops, as by arrays."""
    by_arrays = rules.two_stage(Session(SPREAD, [20, 5]))
    monkeypatch.setattr(rules, "fast", measured)
    monkeypatch.setattr(rules, "soak", soaked)
    by_loops = rules.two_stage(Session(SPREAD, [20, 5]))
    assert by_loops == by_arrays
    assert by_loops.met
    assert by_loops.took_s > 30 + 7 * 9.5, "this pilot asks for more than its six processes"


@pytest.mark.parametrize("scenario", STEADY, ids=named)
def test_intervals_cover_the_truth(scenario):
    """Coverage of 93 % at least, 95 % within ±1 % where the target was met, and in time."""
    answers = [rules.two_stage(Session(scenario, [21, n])) for n in range(REPETITIONS)]
    assert at_least((a.low <= scenario.truth <= a.high for a in answers), 0.93)
    assert at_least((abs(a.estimate / scenario.truth - 1) <= 0.01 for a in answers if a.met), 0.95)
    if scenario.name in estimates.LIMIT_S:
        assert at_least((a.took_s <= estimates.LIMIT_S[scenario.name] for a in answers), 0.95)


def test_common_intervals_do_not():
    """The bench can tell: a t-interval on pooled iterations covers far less than it says."""
    answers = [rules.pooled_mean(Session(SPREAD, [22, n])) for n in range(REPETITIONS)]
    assert at_most((a.low <= SPREAD.truth <= a.high for a in answers), 0.5)


@pytest.mark.parametrize("scenario", [*STEADY, LONG_BURSTS, *WARMING, DRIFT], ids=named)
def test_identical_code_is_seldom_called_different(scenario):
    """At most 7 % of comparisons of A with A are `better` or `worse`, also on machines that are cold."""
    verdicts = [rules.paired(Session(scenario, [23, n]), 0.0) for n in range(REPETITIONS)]
    assert at_most((v.label in {"better", "worse"} for v in verdicts), 0.07)


@pytest.mark.parametrize(("effect", "power"), [(0.01, 0.95), (0.02, 1.0), (0.05, 1.0)])
def test_planted_slowdowns_are_found_in_time(effect, power):
    """Within 305 s on a warm machine."""
    verdicts = [rules.paired(Session(QUIET, [24, n]), effect) for n in range(REPETITIONS)]
    assert at_least((v.label == "worse" and v.took_s <= 305 for v in verdicts), power)


@pytest.mark.parametrize("scenario", WARMING, ids=named)
def test_the_soak_leaves_no_bias(scenario):
    """The mean estimate is within 0.1 % of the truth, three standard errors allowed."""
    errors = []
    for n in range(REPETITIONS // 2):
        session = Session(scenario, [25, n])
        soak(session)
        errors.append(rules.two_stage(session, soaked=False).estimate / scenario.truth - 1)
    assert abs(np.mean(errors)) <= 0.001 + 3 * np.std(errors, ddof=1) / math.sqrt(len(errors))


@pytest.mark.parametrize(("scenario", "gap"), [(QUIET, 0.01), (SPREAD, 0.01)], ids=["clear", "unclear"])
def test_equal_configurations_are_seldom_ordered(scenario, gap):
    """Of 12 configurations in 4 groups: a false strict order in at most 3 % of rankings."""
    judged = [orders._judge(orders._tukey(orders._sweep(scenario, gap, n, 1))) for n in range(REPETITIONS)]
    assert at_most((false for false, _ in judged), 0.03)


def test_the_bench_tells_apart_what_it_should():
    """Sorting by the mean always orders equals; one false order in either direction counts."""
    means = orders._sweep(QUIET, 0.01, 0, 1)
    assert orders._judge(orders._sorted(means))[0]
    upside_down = np.exp(-np.log(means))
    assert orders._judge(orders._tukey(upside_down)) == (True, 0.0)


def test_a_bound_is_held_or_says_no():
    """Either side of a limit, in the words of the table."""
    assert Bound("x", 0.931, 0.93, at_least=True).cells() == ["x", "≥ 93.00 %", "93.10 %", "yes"]
    assert Bound("x", 0.929, 0.93, at_least=True).cells()[-1] == "**no**"
    assert Bound("x", 0.0701, 0.07, at_least=False).cells()[-1] == "**no**"


def test_tables_replace_what_stands_between_the_markers(tmp_path):
    """What is written by hand stays; a document without markers is refused."""
    path = tmp_path / "doc.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(path, Table("T", "Says.", ["a", "b"], [["x", "1"]]).markdown())
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| x | 1 |" in text
    path.write_text("nothing")
    with pytest.raises(ValueError, match="no lines"):
        write(path, "x")


def test_the_document_holds_a_full_run_with_every_bound_kept():
    """The published table comes from 2,000 repetitions, and no row of it says no."""
    text = DOCUMENT.read_text(encoding="utf-8")
    generated = text[text.index(BEGIN) : text.index(END)]
    assert "2000 seeded repetitions" in generated
    bounds = re.findall(r"^\| .* \| [≥≤] .* \| (\S+) \|$", generated, re.MULTILINE)
    assert bounds == ["yes"] * 10
