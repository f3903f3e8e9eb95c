"""Profiles that torch 2.11, 2.13 and 2.15 gave (`tools/record_profile.py`), and what launched a kernel."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.profile import collect

PROFILES = Path(__file__).parents[2] / "golden" / "profiles"
CPU, CUDA = SimpleNamespace(name="CPU"), SimpleNamespace(name="CUDA")


def recorded(version):
    """Return the recorded events, as the profiler gave them."""
    rows = json.loads((PROFILES / f"torch-{version}.json").read_text())["events"]
    events = [
        SimpleNamespace(
            id=row["id"],
            name=row["name"],
            device_type=SimpleNamespace(name=row["device"]),
            is_user_annotation=row["name"].startswith(collect.MODULE),
            time_range=SimpleNamespace(start=row["begin_us"], end=row["end_us"]),
            self_cpu_time_total=row["self_us"],
            sequence_nr=row["sequence_nr"],
            thread=row["thread"],
            fwd_thread=row["fwd_thread"],
        )
        for row in rows
    ]
    for event, row in zip(events, rows, strict=True):
        event.cpu_parent = None if row["parent"] is None else events[row["parent"]]
    return events


@pytest.mark.parametrize("version", ["2.11", "2.13", "2.15"])
def test_every_version_s_operators_lie_in_their_modules(version):
    """Products of both layers, forward and backward, whatever a reshape is called there."""
    events = recorded(version)
    found = list(collect.host_events(events))
    products = [e.module for e in found if e.name in {"aten::mm", "aten::addmm"}]
    assert sorted(products) == ["0", "0", "2", "2", "2"]
    span = next(e for e in events if e.name == collect.SPAN)
    begin, end = (round(1000 * t) for t in (span.time_range.start, span.time_range.end))
    assert all(begin <= e.begin_ns <= e.end_ns <= end for e in found)
    reshapes = [e.module for e in found if e.name in {"aten::view", "aten::_unsafe_view"}]
    assert {"0", "2"} <= set(reshapes)


def device_event(start_us, stream, **more):
    """One event of the device."""
    return SimpleNamespace(
        time_range=SimpleNamespace(start=start_us), device_type=CUDA, device_index=0,
        device_resource_id=stream, **more,
    )  # fmt: skip


def raw(start_ns, stream, link, device=CUDA):
    """The same event as the profiler's lower part gives it."""
    return SimpleNamespace(
        start_ns=lambda: start_ns, device_index=lambda: 0, device_resource_id=lambda: stream,
        linked_correlation_id=lambda: link, device_type=lambda: device,
    )  # fmt: skip


def test_from_2_13_on_an_event_says_what_launched_it():
    """Its own word is taken."""
    event = device_event(1.5, 7, linked_correlation_id=42)
    assert collect.launcher_of(SimpleNamespace(function_events=[event]))(event) == 42


def test_before_the_raw_events_say_it():
    """Joined by start, device and stream: two streams may start at once."""
    one, other, unknown = device_event(1.501, 7), device_event(1.501, 8), device_event(9.0, 7)
    lower = SimpleNamespace(
        trace_start_ns=lambda: 1_000_000_000_000_000_000,
        events=lambda: [
            raw(1_000_000_000_000_001_501, 7, 42),
            raw(1_000_000_000_000_001_501, 8, 43),
            raw(1_000_000_000_000_009_000, 7, 44, CPU),
        ],
    )
    running = SimpleNamespace(function_events=[one, other, unknown], kineto_results=lower)
    launcher = collect.launcher_of(running)
    assert [launcher(event) for event in (one, other, unknown)] == [42, 43, 0]


def test_events_in_another_form_cost_the_profile_and_nothing_else(monkeypatch):
    """Of several ranks too: every one has run the steps, so nobody waits."""
    from harness.trial.passes import profile

    def unreadable(*_arguments, **_named):
        raise collect.UnreadableProfileError("torch 2.99 gives its profiler's events in another form")

    monkeypatch.setattr(collect, "profile_steps", unreadable)
    found = profile.evidence(
        SimpleNamespace(step=None, model=None, compiled=None),
        SimpleNamespace(engine="torch", kind="cpu"),
        SimpleNamespace(period_ns=1e6, first_index=0, iterations=1),
        "no place", None, SimpleNamespace(world=2, agree=lambda value: value),
    )  # fmt: skip
    assert found == {"profile": {"reason": "torch 2.99 gives its profiler's events in another form"}}
