"""How near a decode step comes to the memory's bound: its least bytes over the measured read bandwidth."""

from __future__ import annotations

from typing import Any

from harness import timing
from harness.devices.base import Device, DeviceError
from harness.records.evidence import declared
from harness.records.schema import Facts


def evidence(job: Any, device: Device, measurement: timing.Measurement, peers: timing.Peers) -> Facts:
    """Return the bound and the span's share of it, as `memory_bound`; or why there is none.

    The bound is `units.least_bytes / read bandwidth`, the share bound / (span / iterations): 1 is a step that
    does nothing but read at full speed. The bandwidth is measured here and now, by as many threads.
    """
    if peers.world > 1:
        return declared(__name__, {"memory_bound": {"reason": "several ranks share the memory"}})
    least = job.units(0).least_bytes
    try:
        bandwidth = device.read_bandwidth_b_s()
    except DeviceError as error:
        return declared(__name__, {"memory_bound": {"reason": str(error), "least_bytes": least}})
    bound_s = least / bandwidth
    return declared(
        __name__,
        {
            "memory_bound": {
                "least_bytes": least,
                "read_b_s": bandwidth,
                "bound_s": bound_s,
                "share": bound_s / (measurement.period_ns / 1e9),
            }
        },
    )
