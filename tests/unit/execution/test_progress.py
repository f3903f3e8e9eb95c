"""What a sweep shows while it runs, on a terminal and elsewhere."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from harness.execution import progress
from harness.planning.plan import make_plan


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7559, "2 h 05 min"),
    ],
)
def test_durations_are_as_people_say_them(seconds, text):
    """Rounded before they are split, so that none has 60 seconds."""
    assert progress.duration(seconds) == text


def test_a_record_s_headline_is_its_first_known_headline_or_its_reason(make_record):
    """On one line, and no longer than a terminal."""
    good = make_record({"iteration.mean": 0.25, "throughput.tokens": 12345.6})
    assert progress.headline(good) == "12.3\u00a0k\u00a0tokens/s"
    assert (
        progress.headline(make_record({"throughput.tokens": None, "throughput.samples": 0.25}))
        == "0.250\u00a0samples/s"
    )
    assert progress.headline(make_record({"memory.peak_rss": 1.0})) == "ok"
    failed = make_record(status="crashed", phase="build", reason="one\n  two " + "x" * 200)
    assert progress.headline(failed).startswith("one two xxx")
    assert len(progress.headline(failed)) == 100


@pytest.fixture(scope="module")
def plan():
    """Six trials."""
    return make_plan(["workload=noop", "device=cpu", "seed=range(6)", "measure.replicas=2"])


def test_elsewhere_a_replica_is_one_line(plan, make_record):
    """With what is left; nothing is said before there is a result."""
    out = io.StringIO()
    with progress.PlainProgress(plan, out) as shown:
        shown.started(plan.trials[0], 0)
        shown.tick()
        assert out.getvalue() == ""
        shown.finished(make_record({"throughput.samples": 0.25}, wall_s=1.5), 61.0)
        shown.finished(make_record(status="oom", phase="build", reason="no memory", replica=1), 0.0)
    first, second = out.getvalue().splitlines()
    words = "1 ok gpt tiny train fp32 replica 0 0.250 samples/s (1.5 s; 1 min 01 s left)"
    assert " ".join(first.split()) == words
    assert "oom" in second
    assert "replica 1  no memory" in second


def cells(table):
    """Return a table's rows as text."""
    columns = [list(column.cells) for column in table.columns]
    return [[str(cell) for cell in row] for row in zip(*columns, strict=True)]


def live(plan, height=40):
    """Return the live table's state without a terminal: what it would draw."""
    shown = progress.LiveProgress(plan)
    console = SimpleNamespace(size=SimpleNamespace(height=height))
    shown._live = SimpleNamespace(console=console, update=lambda *_, **__: None)
    return shown


def test_on_a_terminal_every_trial_is_a_row(plan, make_record):
    """Good replicas are counted, the last result is shown, and the one that runs says for how long."""
    shown = live(plan)
    first, second, *_ = plan.trials
    shown.finished(make_record({"iteration.mean": 0.25}, trial_id=first.trial_id), 30.0)
    shown.finished(
        make_record(trial_id=first.trial_id, replica=1, status="crashed", phase="build", reason="r"), 20.0
    )
    shown.started(second, 0)
    table = shown._table()
    rows = cells(table)
    assert rows[0] == [first.label, "1/2", "crashed", "r"]
    assert rows[1][:2] == [second.label, "0/2"]
    assert rows[1][2].startswith("running ")
    assert rows[2][2] == "waiting"
    assert str(table.title).endswith("20 s left")


def test_a_small_terminal_shows_what_runs(plan):
    """As many trials as fit, and how many do not."""
    shown = live(plan, height=9)
    shown.started(plan.trials[-1], 0)
    table = shown._table()
    assert [row[0] for row in cells(table)] == [t.label for t in plan.trials[-5:]]
    assert str(table.caption) == "1 more trials"


def test_standard_error_decides(plan, monkeypatch):
    """A terminal gets the live table, a file or a pipe plain lines."""
    for terminal, kind in ((True, progress.LiveProgress), (False, progress.PlainProgress)):
        monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda terminal=terminal: terminal))
        assert isinstance(progress.make(plan), kind)
