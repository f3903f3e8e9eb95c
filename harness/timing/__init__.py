"""Timing: `measure` a function, or a workload's steps, from warm-up to flags (docs/method.md, 2 and 3)."""

from harness.timing.measure import Measurement, TimingSettings, measure, measure_steps
from harness.timing.peers import ALONE, Peers
from harness.timing.soak import Conditions, ReadConditions, Soak, SoakSettings, soak

__all__ = [
    "ALONE",
    "Conditions",
    "Measurement",
    "Peers",
    "ReadConditions",
    "Soak",
    "SoakSettings",
    "TimingSettings",
    "measure",
    "measure_steps",
    "soak",
]
