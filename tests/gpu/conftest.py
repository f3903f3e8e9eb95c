"""The shim on the first NVIDIA device; without one every test here is skipped, with the reason."""

from __future__ import annotations

import pytest

from harness.devices.cuda import LIBRARY, driver_device_count
from harness.shim.cuda import CudaShim


@pytest.fixture(scope="session")
def shim():
    """Open the shim on device 0."""
    count = driver_device_count(LIBRARY)
    if isinstance(count, str):
        pytest.skip(count)
    if count == 0:
        pytest.skip("the CUDA driver shows no device")
    with CudaShim(0) as opened:
        yield opened


@pytest.fixture(scope="session")
def cuda_torch(shim):
    """Return torch built with CUDA."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("the installed torch does not see the device")
    torch.cuda.set_device(0)
    return torch
