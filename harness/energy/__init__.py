"""Energy and power: sensors, the sampler beside the work, and estimates with their uncertainty."""

from harness.energy.estimation.result import DeviceEnergy, EnergyResult
from harness.energy.loop import IterationEnergy, mean_of_loops, measure_loop
from harness.energy.sensors.base import PowerMeter, Reading, SensorError, SensorInfo, SensorUnavailable
from harness.energy.sensors.registry import UnknownSensor, resolve
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
