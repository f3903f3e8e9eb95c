"""CUDA without a GPU: why it is unavailable, and what is asked of torch."""

from __future__ import annotations

import shutil
import subprocess
from types import SimpleNamespace

import pytest
import torch

from harness.devices import cuda, cuda_passes
from harness.devices.base import DeviceError, Pass
from harness.devices.cuda import CudaDevice, driver_device_count, torch_build_reason
from harness.system.torch_build import TorchBuild

DRIVER = """
int cuInit(unsigned flags) { return INIT; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuGetErrorName(int code, const char **name) { *name = "CUDA_ERROR_NO_DEVICE"; return 0; }
"""


@pytest.fixture
def driver(tmp_path):
    """Build a stand-in driver that starts with a code and counts devices."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")

    def build(*, init: int = 0, count: int = 2) -> str:
        library = tmp_path / f"libcuda-{init}-{count}.so.1"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-xc", "-", f"-DINIT={init}", f"-DCOUNT={count}", "-o", library],
            input=DRIVER, text=True, check=True,
        )  # fmt: skip
        return str(library)

    return build


@pytest.fixture
def installed(monkeypatch):
    """Say which torch is installed."""
    return lambda build: monkeypatch.setattr(cuda, "torch_build", lambda: build)


def test_a_build_for_cuda_is_no_obstacle(installed):
    """It says which CUDA it is for."""
    installed(TorchBuild("2.13.0+cu130", "13.0"))
    assert torch_build_reason() is None


def test_a_cpu_build_is_a_reason_with_its_version(installed):
    """No CUDA is the reason, with torch's own version in it."""
    installed(TorchBuild("2.13.0+cpu", None))
    assert torch_build_reason() == "the installed torch 2.13.0+cpu is built without CUDA"


def test_torch_that_is_absent_is_a_reason(installed):
    """Without torch there is a reason and no exception."""
    installed(None)
    assert torch_build_reason() == "torch is not installed"


def test_an_absent_driver_is_a_reason():
    """A library that is not there is named."""
    assert (
        driver_device_count("libcuda-absent.so.9") == "no NVIDIA driver: libcuda-absent.so.9 is not installed"
    )


def test_the_driver_counts_its_devices(driver):
    """A driver that starts answers with its count."""
    assert driver_device_count(driver(count=2)) == 2


def test_a_driver_that_does_not_start_names_its_error(driver):
    """The driver's own name of the error reaches the user in one line."""
    reason = driver_device_count(driver(init=100))
    assert reason == "the CUDA driver does not start: CUDA_ERROR_NO_DEVICE"


def test_the_probe_runs_apart(driver, monkeypatch):
    """The driver is started in a child: started here, it would break workers forked later."""
    library = driver(count=1)
    started = []
    real = subprocess.run
    monkeypatch.setattr(cuda.subprocess, "run", lambda *a, **k: (started.append(a[0][-1]), real(*a, **k))[1])
    driver_device_count(library)
    driver_device_count(library)
    assert started == [library]


@pytest.mark.parametrize(
    ("count", "index", "reason"),
    [
        (2, 1, None),
        (2, 2, "no device cuda:2: the driver shows 2"),
        ("no driver", 0, "no driver"),
    ],
)
def test_a_device_beyond_the_count_is_not_there(monkeypatch, count, index, reason):
    """An index counts from 0; the driver's own reason passes through."""
    monkeypatch.setattr(cuda, "torch_build_reason", lambda: None)
    monkeypatch.setattr(cuda, "driver_device_count", lambda _library: count)
    assert CudaDevice.unavailable_reason(index) == reason


def test_a_device_that_does_not_open_is_a_typed_error(monkeypatch):
    """Torch's first line becomes the message of a DeviceError."""

    def refuse(_index):
        raise RuntimeError("CUDA error: out of memory\nCompile with ...")

    monkeypatch.setattr(cuda, "set_threads", lambda _threads: None)
    monkeypatch.setattr(torch.cuda, "set_device", refuse)
    with pytest.raises(DeviceError, match=r"^cuda:1 does not open: CUDA error: out of memory$"):
        CudaDevice(1).open()


def test_memory_and_peak_come_from_the_named_device(monkeypatch):
    """Allocator peaks are those of this index, and the peak is found by the device's exact name."""
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: 100 + index)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda index: 200 + index)
    properties = SimpleNamespace(name="NVIDIA H100 80GB HBM3", uuid="1234-ab")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _index: properties)

    device = CudaDevice(3)

    memory = device.memory()
    assert (memory["peak_allocated"], memory["peak_reserved"]) == (103, 203)
    assert memory["peak_rss"] > 0
    assert device.dense_peak("bf16").flop_s == 989.5e12
    assert device.hardware_id() == "GPU-1234-ab"


@pytest.mark.parametrize("name", ["gated", "cold"])
def test_a_pass_runs_on_torchs_own_stream(monkeypatch, name):
    """The shim gets this index and the stream that torch enqueues on, and what it found comes back."""
    asked = []
    found = Pass(1000.0, 3)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda index: SimpleNamespace(cuda_stream=70 + index))
    monkeypatch.setattr(cuda_passes, name, lambda *a, **k: (asked.append((*a, k)), found)[1])

    assert getattr(CudaDevice(3), name)(print, 5000.0) is found
    assert asked == [(3, print, 5000.0, {"stream": 73})]
