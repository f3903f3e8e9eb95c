"""The profile pass of a trial, after its measurement: what a record keeps of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.devices.base import Device
from harness.profile import collect
from harness.profile.bottleneck import bottleneck
from harness.records.errors import kind_and_words
from harness.records.evidence import declared
from harness.records.schema import Facts
from harness.stats.roofline import Placement
from harness.timing import ALONE, Measurement, Peers

_PROFILED = ("cpu", "cuda")
"""Kinds of devices whose operators the profile tells apart."""


def evidence(
    job: Any,
    device: Device,
    measurement: Measurement,
    placed: Placement | str,
    trace: Path | None,
    peers: Peers = ALONE,
) -> Facts:
    """Profile some steps after the measurement, and say what bounds the work.

    A pass that fails costs the profile and nothing else: what was measured before it stands. Of several ranks
    one that failed would keep the others waiting, so there it is raised.

    Args:
        job: a prepared workload, see `workloads.engine.job.PreparedWorkload`.
        device: an opened device.
        measurement: of the same job, taken before.
        placed: its place under the ceilings, or why it has none.
        trace: where to write a Chrome trace; None writes none.
        peers: the ranks of the trial; each profiles the same steps.
    """
    if device.kind not in _PROFILED:
        return {"profile": {"reason": f"operators on {device.kind} are not seen by torch's profiler here"}}
    m = measurement
    iterations = peers.agree(collect.iterations_for(m.period_ns / 1e9))
    try:
        facts = collect.profile_steps(
            job.step,
            device=device,
            model=job.model,
            first_index=m.first_index + m.iterations,
            iterations=iterations,
            compiled=job.compiled is not None,
            trace=trace,
        )
    except collect.UnreadableProfileError as error:  # every rank has run the steps
        return declared(__name__, {"profile": {"reason": str(error)}})
    except Exception as error:
        if peers.world > 1:
            raise
        return declared(__name__, {"profile": {"reason": kind_and_words(error)}})
    capped = "software_power_cap" in m.conditions.states if m.conditions.clock_mhz is not None else None
    verdict = bottleneck(facts, None if isinstance(placed, str) else placed, power_capped=capped)
    found = {
        "profile": facts.as_dict() | {"slowdown": facts.span_ns / iterations / m.period_ns},
        "bottleneck": asdict(verdict),
    }
    return declared(__name__, found)
