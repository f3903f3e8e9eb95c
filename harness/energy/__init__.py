"""Energy and power: sensors, the sampler beside the work, and estimates with their uncertainty."""

from harness.energy.base import PowerMeter, Reading, SensorError, SensorInfo, SensorUnavailable
from harness.energy.loop import IterationEnergy, mean_of_loops, measure_loop
from harness.energy.registry import UnknownSensor, resolve
from harness.energy.result import DeviceEnergy, EnergyResult
from harness.energy.windows import Window, window

__all__ = [
    "DeviceEnergy",
    "EnergyResult",
    "IterationEnergy",
    "PowerMeter",
    "Reading",
    "SensorError",
    "SensorInfo",
    "SensorUnavailable",
    "UnknownSensor",
    "Window",
    "mean_of_loops",
    "measure_loop",
    "resolve",
    "window",
]
