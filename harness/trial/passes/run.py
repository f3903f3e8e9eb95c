"""What a trial learns behind its span, apart from it.

Energy of phases, gated and cold times, a profile, quality: each in a pass of its own, after the measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import timing
from harness.config.models import Config
from harness.devices.base import Device
from harness.isolation.protocol import ReplicaSpec
from harness.records.schema import Facts, Metric
from harness.stats.roofline import Placement
from harness.trial import prepare
from harness.trial.passes import convergence, gated_cold, memory_bound, phase_energy, profile, quality
from workloads.base import SERVE, Size, Workload


@dataclass(frozen=True, slots=True)
class PreparedReplica:
    """A replica's work on one rank, ready to run."""

    config: Config
    size: Size
    spec: ReplicaSpec
    device: Device
    peers: timing.Peers
    workload: Workload
    job: Any
    """A `workloads.engine.job.PreparedWorkload`."""
    on_phase: Callable[[str], None]

    @property
    def certificate(self) -> Facts:
        """The certificate that holds for the device, or the reason why none does."""
        found: Facts = self.spec.session.get("certificate", {})
        return found

    def in_mode(self, mode: str) -> Any:
        """Return the job of the same work in another mode.

        Of what serves: one prompt to read, or a step of as many rows as its load fills in an engine.
        """
        size, serve = self.size, self.config.serve
        if self.config.workload.mode == SERVE and serve.prompt_tokens is not None:
            users = -(-serve.concurrency // serve.engines)
            filled = min(serve.slots, users) if serve.arrivals == "closed" else serve.slots
            size = {**size, "batch": 1 if mode == "prefill" else filled, "prompt": serve.prompt_tokens}
        workload = prepare.workload_of(self.config, size, mode)
        return prepare.prepare_job(self.config, workload, self.device, self.peers)


def run_passes(
    ready: PreparedReplica, measurement: timing.Measurement, placed: Placement | str, losses: Sequence[float]
) -> tuple[list[Metric], Facts]:
    """Run the passes that the configuration asks for; return their metrics and evidence.

    Args:
        ready: What was measured.
        measurement: Of the span, all ranks together.
        placed: The work under the device's roofs, or why it has no place there.
        losses: Of training, the first step's first.
    """
    config, device, peers, job = ready.config, ready.device, ready.peers, ready.job
    first_replica, metrics = ready.spec.replica == 0, list[Metric]()
    if config.power.phases:
        ready.on_phase("profile")
        metrics += phase_energy.phase_metrics(config, device, ready.workload, job, ready.in_mode)
    evidence: Facts = {}
    if config.workload.mode != SERVE:  # a step that reads back its tokens cannot wait behind a gate
        apart, evidence = gated_cold.measure(job, device, measurement, ready.on_phase, peers)
        metrics += apart
    if config.measure.profile and first_replica:
        ready.on_phase("profile")
        write = config.measure.trace and peers.rank == 0
        folder = ready.spec.folder
        trace = Path(folder) / "profile-trace.json" if write and folder is not None else None
        evidence |= profile.evidence(job, device, measurement, placed, trace, peers)
    if config.workload.mode == "decode" and first_replica:
        evidence |= memory_bound.evidence(job, device, measurement, peers)
    setup = prepare.setup_of(config, device, peers)
    if first_replica and quality.wanted(config):
        ready.on_phase("quality")
        worth, proof = quality.metrics(ready.workload, setup, job.parameters)
        metrics, evidence = metrics + worth, evidence | proof
    period_s = measurement.period_ns / 1e9
    metrics += convergence.asynchronous(job.evidence(), period_s)
    if losses and (target := config.measure.target_loss) is not None:
        steps, own = measurement.first_index + measurement.iterations, setup.compressor().own_loss
        metrics.append(
            convergence.time_to_loss(losses, steps=steps, target=target, period_s=period_s, own_loss=own)
        )
    return metrics, evidence
