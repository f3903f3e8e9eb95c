"""One measured span, for the trial and for the pytest fixture: timing, energy and device state together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from harness import energy, timing
from harness.config.models import Config
from harness.devices.base import Device
from harness.records.schema import Facts
from harness.timing.clocks import Clock
from harness.timing.loop import Step
from harness.trial import span_energy
from harness.trial.device_state import DeviceState, own_processes, soak_clock_hz
from harness.trial.evidence import timing_settings


@dataclass(frozen=True, slots=True)
class MeasuredSpan:
    """What one rank knows of its span."""

    timing: timing.Measurement
    window: energy.EnergyResult
    """Of the energy window around the span."""
    device_state: Facts
    """Evidence of the device around the span."""
    shifted_loop: Callable[[], energy.IterationEnergy]
    alone: bool

    def energy(self) -> span_energy.SpanEnergy:
        """Return the span's energy.

        Where the span came in step with its counter this runs more iterations, so read losses, outputs and
        peaks of memory before, and call it once.
        """
        return span_energy.span_energy(self.window, self.timing, self.shifted_loop, alone=self.alone)


def measure_span(
    config: Config,
    device: Device,
    step: Step,
    *,
    peers: timing.Peers = timing.ALONE,
    session: Mapping[str, Any] | None = None,
    beside: AbstractContextManager[Any] | None = None,
    on_phase: Callable[[str], None] = lambda _phase: None,
    clock: Clock | None = None,
) -> MeasuredSpan:
    """Warm up, then measure one span of `step(index, mark)`; its first call was index 0.

    Args:
        config: Of the trial: how long to measure, and with which sensor.
        device: Opened.
        step: One iteration.
        peers: The ranks that run the same steps.
        session: What is known of the session, for the clock of its soak.
        beside: Entered just before the span and left just after it.
        on_phase: Told `warmup`, then `measure`.
        clock: The host's clocks; tests script them.
    """
    told = dict(session or {})
    window, watch, state = span_energy.window(config, device, peers), device.watch(), DeviceState(device)
    state.note_processes()
    found = timing.measure_steps(
        step,
        device=device,
        settings=timing_settings(config),
        window=_within(window, watch, beside or nullcontext()),
        on_phase=on_phase,
        clock=clock,
        first_index=1,
        read=state.conditions,
        peers=peers,
    )
    state.note_processes()
    return MeasuredSpan(
        found,
        window.result,
        state.evidence(found.conditions, watch.evidence(soak_clock_hz(told)), told, own_processes(peers)),
        shifted_loop=lambda: span_energy.shifted_loop(config, device, step),
        alone=peers.world == 1,
    )


@contextmanager
def _within(*contexts: AbstractContextManager[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield
