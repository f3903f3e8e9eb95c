"""Timing: `measure` a function, or a workload's steps, from warm-up to flags (docs/method.md, 2 and 3)."""

from harness.timing.measure import Measurement, TimingSettings, measure, measure_steps

__all__ = ["Measurement", "TimingSettings", "measure", "measure_steps"]
