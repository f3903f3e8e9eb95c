"""The passes of a trial on the device: the gate hides launch latency, the flush empties the cache."""

from __future__ import annotations

import pytest

from harness.devices.cuda import CudaDevice

pytestmark = pytest.mark.gpu

_STEPS = 4096
_PERIOD_NS = 1_000_000


def test_a_cold_chase_takes_longer_and_a_waiting_step_is_refused(shim, cuda_torch):
    """A chase through lines that L2 holds is slower after a flush; a step that waits has no gated time."""
    device = CudaDevice(0)
    with shim.context, shim._linked(shim._order(shim.l2_bytes // 16)) as (lines, took):
        chase = shim.function("chase_l2").launch(lines, _STEPS, took)
        chase()
        cuda_torch.cuda.synchronize()
        gated, cold = device.gated(chase, _PERIOD_NS), device.cold(chase, _PERIOD_NS)
    assert gated.reason is None, gated
    assert cold.reason is None, cold
    assert gated.iterations > 1
    assert gated.evidence["host_ns"] < gated.iteration_ns
    assert cold.evidence["flush"]["proved"] is True
    assert cold.iteration_ns > 1.3 * gated.iteration_ns

    tensor = cuda_torch.ones(1, device="cuda:0")
    waiting = device.gated(tensor.item, _PERIOD_NS)
    assert waiting.iteration_ns is None
    assert "waits for the device" in waiting.reason
