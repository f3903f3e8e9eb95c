"""The gated and the cold pass of a trial, each apart from its span and with a metric of its own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from harness.devices.base import Device, Pass
from harness.records.errors import kind_and_words
from harness.records.evidence import declared
from harness.records.metrics import make
from harness.records.schema import Facts, Metric
from harness.timing import ALONE, Measurement, Peers

GATED, COLD = "iteration.gated", "iteration.cold"


def measure(
    job: Any,
    device: Device,
    measurement: Measurement,
    on_phase: Callable[[str], None],
    peers: Peers = ALONE,
) -> tuple[list[Metric], Facts]:
    """Run both passes after the measurement (docs/method.md, section 2).

    A pass that fails costs its own metric and nothing else: what was measured before it stands.

    Args:
        job: a prepared workload, see `workloads.engine.job.PreparedWorkload`.
        device: an opened device.
        measurement: of the same job, taken before.
        on_phase: called with `gated` and `cold` as they begin.
        peers: the ranks of the trial; a held stream would make the others wait, so several have no passes.

    Returns:
        Both metrics, without a value and with the reason where the device has no such pass; and the evidence.
    """
    if peers.world > 1:
        reason = f"no pass holds {peers.world} ranks back at once"
        return [make(metric_id, None, reason=reason) for metric_id in (GATED, COLD)], {}
    indices = count(measurement.first_index + measurement.iterations)

    def iterate() -> None:
        job.step(next(indices), lambda _mark: None)

    metrics, evidence = [], {}
    for metric_id, run in ((GATED, device.gated), (COLD, device.cold)):
        name = metric_id.removeprefix("iteration.")
        on_phase(name)
        try:
            found = run(iterate, measurement.period_ns)
        except Exception as error:  # noqa: BLE001 - whatever a model raises
            found = Pass(None, reason=kind_and_words(error))
        if found is None:
            metrics.append(make(metric_id, None, reason=f"there is no {name} pass on {device.kind}"))
        elif found.iteration_ns is None:
            metrics.append(make(metric_id, None, reason=found.reason or "the pass gave no time"))
            evidence[name] = found.evidence | {"reason": found.reason}
        else:
            metrics.append(make(metric_id, found.iteration_ns / 1e9, n=found.iterations))
            evidence[name] = found.evidence
    return metrics, declared(__name__, {"passes": evidence} if evidence else {})
