"""The passes apart from the span: from what a device found to metrics, reasons and evidence."""

from __future__ import annotations

from types import SimpleNamespace

from harness.devices.base import Pass
from harness.devices.cpu import CpuDevice
from harness.trial.passes import gated_cold


class Scripted(CpuDevice):
    """A device whose passes are given; an exception is raised, anything else is what the pass found."""

    kind = "scripted"

    def __init__(self, gated, cold):
        super().__init__()
        self._found = {"gated": gated, "cold": cold}

    def _run(self, name, iterate, period_ns):
        iterate()
        self.period_ns = period_ns
        if isinstance(self._found[name], Exception):
            raise self._found[name]
        return self._found[name]

    def gated(self, iterate, period_ns):
        """Give what was scripted."""
        return self._run("gated", iterate, period_ns)

    def cold(self, iterate, period_ns):
        """Give what was scripted."""
        return self._run("cold", iterate, period_ns)


def ran(device):
    """Run the passes after a span of iterations 1 to 40; return metrics by id, evidence, phases and steps."""
    steps, phases = [], []
    job = SimpleNamespace(step=lambda index, _mark: steps.append(index))
    span = SimpleNamespace(first_index=1, iterations=40, period_ns=2500.0)
    metrics, evidence = gated_cold.measure(job, device, span, phases.append)
    return {m.id: m for m in metrics}, evidence, phases, steps


def test_times_become_metrics_of_their_own():
    """Nanoseconds become seconds, with the iterations behind them; steps go on where the span ended."""
    device = Scripted(
        Pass(2000.0, 30, evidence={"host_ns": 900.0}),
        Pass(5000.0, 10, evidence={"flush": {"proved": True}}),
    )
    metrics, evidence, phases, steps = ran(device)
    gated, cold = metrics["iteration.gated"], metrics["iteration.cold"]
    assert (gated.value, gated.n, gated.unit) == (2e-6, 30, "s")
    assert (cold.value, cold.n) == (5e-6, 10)
    assert evidence == {"passes": {"gated": {"host_ns": 900.0}, "cold": {"flush": {"proved": True}}}}
    assert phases == ["gated", "cold"]
    assert steps == [41, 42]
    assert device.period_ns == 2500.0


def test_a_pass_without_a_time_is_unavailable_with_its_reason():
    """The gate expired: the metric says so, and so does the evidence; the other pass stands."""
    found = Pass(None, 1, "the gate expired", {"gated": False})
    metrics, evidence, _phases, _steps = ran(Scripted(found, Pass(5000.0, 10)))
    assert metrics["iteration.gated"].value is None
    assert metrics["iteration.gated"].reason == "the gate expired"
    assert evidence["passes"]["gated"] == {"gated": False, "reason": "the gate expired"}
    assert metrics["iteration.cold"].value == 5e-6


def test_a_step_that_fails_costs_its_pass_alone():
    """The error becomes the reason in one line, and nothing is raised."""
    metrics, evidence, _phases, _steps = ran(Scripted(RuntimeError("out of\nmemory"), Pass(5000.0, 10)))
    assert metrics["iteration.gated"].reason == "RuntimeError: out of memory"
    assert evidence["passes"]["gated"] == {"reason": "RuntimeError: out of memory"}
    assert metrics["iteration.cold"].value == 5e-6


def test_a_device_without_passes_says_so_and_runs_nothing():
    """The CPU holds no work back and flushes no cache: no value, the reason, no evidence, no step."""
    metrics, evidence, _phases, steps = ran(CpuDevice())
    assert {m.reason for m in metrics.values()} == {
        "there is no gated pass on cpu",
        "there is no cold pass on cpu",
    }
    assert evidence == {}
    assert steps == []
