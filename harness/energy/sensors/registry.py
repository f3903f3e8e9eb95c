"""Find power sources by name: our own, and other packages' through the entry point `joulemark.sensors`."""

from __future__ import annotations

from collections.abc import Sequence

from harness.energy.sensors.base import PowerMeter
from harness.energy.sensors.none import NullMeter
from harness.energy.sensors.opening import open_meters
from harness.system.errors import UsageError
from workloads.plugins import classes, nearest

BUILT_IN = {
    "nvml": "harness.energy.sensors.nvml:NvmlMeter",
    "rapl": "harness.energy.sensors.rapl:RaplMeter",
    "amdsmi": "harness.energy.sensors.amdsmi:AmdsmiMeter",
    "hwmon": "harness.energy.sensors.hwmon:HwmonMeter",
    "ipmi": "harness.energy.sensors.bmc:IpmiMeter",
    "redfish": "harness.energy.sensors.redfish:RedfishMeter",
    "meter": "harness.energy.sensors.external:ExternalMeter",
    "none": "harness.energy.sensors.none:NullMeter",
}
GROUP = "joulemark.sensors"
OWN_SENSOR = {"cuda": "nvml", "cpu": "rapl"}
"""The source that meters a kind of device."""
NO_SENSOR = {"tpu": "libtpu exposes no power metric", "rocm": "ask for it with power=amdsmi"}
"""Why nothing meters a kind of device."""


class UnknownSensor(UsageError):  # noqa: N818 - bad input, named as the user sees it
    """No power source has this name."""


SENSORS = classes(PowerMeter, GROUP, BUILT_IN, noun="sensor")  # type: ignore[type-abstract]
names, broken = SENSORS.names, SENSORS.broken


def get(name: str) -> type[PowerMeter]:
    """Return the class of a power source.

    Raises:
        UnknownSensor: no such source, with the nearest name.
    """
    try:
        return SENSORS.get(name)
    except KeyError:
        if name in broken():
            raise UnknownSensor(f"sensor {name} disabled itself: {broken()[name]}") from None
        raise UnknownSensor(f"no sensor {name!r}{nearest(name, ['auto', *names()])}") from None


def resolve(
    sensor: str = "auto", device_kind: str | None = None, devices: Sequence[str | int] = ()
) -> tuple[PowerMeter, ...]:
    """Open the meters of a measurement; what cannot be metered is a `NullMeter` with its reason.

    Args:
        sensor: `auto`, the device's own sensor, or a source's name, which works beside any device.
        device_kind: what the work runs on; without it `auto` takes the first source that answers.
        devices: ids as `joulemark list sensors` shows them, UUIDs, domains or indices; none named is every
            device of the source, those that cannot be read among them as `NullMeter`s. NVML's indices know
            nothing of CUDA_VISIBLE_DEVICES: name a CUDA device by its UUID.

    Raises:
        UnknownSensor: no such source.
    """
    if sensor != "auto":
        return _open(sensor, devices)
    if device_kind is None:
        candidates = [_open(name, devices) for name in dict.fromkeys(OWN_SENSOR.values())]
        working = [meters for meters in candidates if not _nothing(meters)]
        reasons = "; ".join(m.reason for meters in candidates for m in meters if isinstance(m, NullMeter))
        return working[0] if working else (NullMeter("all", f"no sensor: {reasons}"),)
    if device_kind not in OWN_SENSOR:
        why = NO_SENSOR.get(device_kind, f"none is known for the device kind {device_kind}")
        return (NullMeter("all", f"no sensor: {why}"),)
    return tuple(_said(meter) for meter in _open(OWN_SENSOR[device_kind], devices))


def _open(source: str, devices: Sequence[str | int]) -> tuple[PowerMeter, ...]:
    return open_meters(get(source), devices)


def _nothing(meters: Sequence[PowerMeter]) -> bool:
    return all(isinstance(meter, NullMeter) for meter in meters)


def _said(meter: PowerMeter) -> PowerMeter:
    """Put `no sensor` before the reason of a device whose own sensor is missing."""
    return (
        NullMeter(
            meter.device, f"no sensor: {meter.reason}", meter.remedy, label=meter.label, scope=meter.scope
        )
        if isinstance(meter, NullMeter)
        else meter
    )
