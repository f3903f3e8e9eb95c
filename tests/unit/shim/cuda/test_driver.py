"""The ctypes layer against the stand-in driver: launches, packed arguments, and every refusal by its type."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.shim.cuda import CudaShim
from harness.shim.cuda import driver as cuda_driver
from harness.shim.cuda.driver import Context, Driver, attached_profiler
from harness.shim.errors import (
    CudaError,
    DeviceBusyError,
    DriverMissingError,
    DriverTooOldError,
    GateExpiredError,
    NotPermittedError,
    OutOfDeviceMemoryError,
    ProfilerAttachedError,
    SymbolMissingError,
)

ROOT = Path(__file__).parents[4]


def test_a_missing_driver_is_named():
    """Without the library there is a refusal that names it."""
    with pytest.raises(
        DriverMissingError, match=r"^no NVIDIA driver: libcuda-absent\.so\.1 is not installed$"
    ):
        Driver("libcuda-absent.so.1")


def test_a_driver_too_old_says_what_is_needed(library, standin):
    """The version decides before any newer function is looked for."""
    standin.standin_set(b"version", 11080)
    with pytest.raises(DriverTooOldError, match=r"speaks CUDA 11\.8; the shim needs 12\.0 or newer"):
        Driver(library)


def test_a_driver_that_does_not_start_names_its_error(library, standin):
    """The driver's own name of the code reaches the user."""
    standin.standin_fail(b"cuInit", 100)
    with pytest.raises(DriverMissingError, match=r"does not start: CUDA_ERROR_NO_DEVICE \(100\)"):
        Driver(library)


def test_a_missing_function_is_named(tmp_path):
    """A driver new enough by its version that lacks a function is refused with the function's name."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    broken = tmp_path / "libcuda-broken.so.1"
    source = (
        "int cuDriverGetVersion(int *v) { *v = 12090; return 0; } int cuInit(unsigned f) { return (int)f; }"
    )
    command = ["cc", "-shared", "-fPIC", "-xc", "-", "-o", broken]
    subprocess.run(command, input=source, text=True, check=True)
    with pytest.raises(SymbolMissingError, match="has no function cuDeviceGet: reinstall the driver"):
        Driver(str(broken))


def test_a_device_beyond_the_count_is_not_there(library, standin):
    """Indices count from 0."""
    with pytest.raises(DriverMissingError, match="no device cuda:1: the driver shows 1"):
        CudaShim(1, library=library)


@pytest.mark.parametrize(
    ("call", "code", "error", "words"),
    [
        (b"cuMemAlloc_v2", 2, OutOfDeviceMemoryError, "CUDA_ERROR_OUT_OF_MEMORY .* free device memory"),
        (b"cuDevicePrimaryCtxRetain", 46, DeviceBusyError, "CUDA_ERROR_DEVICE_UNAVAILABLE .* compute mode"),
        (b"cuEventRecord", 800, NotPermittedError, "CUDA_ERROR_NOT_PERMITTED .* NVreg_RestrictProfiling"),
        (b"cuLaunchKernelEx", 719, CudaError, r"cuLaunchKernelEx: CUDA_ERROR_LAUNCH_FAILED \(719\)"),
        (b"cuModuleLoadData", 4242, CudaError, r"unknown error \(4242\): no explanation"),
    ],
)
def test_each_return_code_is_its_own_error(library, standin, call, code, error, words):
    """A code becomes its type; the message has the call, the driver's name of it, and what to do."""
    standin.standin_fail(call, code)
    with pytest.raises(error, match=words) as raised, CudaShim(0, library=library) as shim:  # noqa: PT012 - where it fails differs
        try:
            shim.latency("barrier")
            shim.bandwidth("read")
        finally:
            standin.standin_fail(call, 0)
    assert (raised.value.call, raised.value.code) == (call.decode(), code)


def test_memory_is_freed_when_the_next_allocation_fails(library, standin):
    """Of several buffers, those that were had are given back."""
    standin.standin_set(b"memory", 1 << 20)
    context = Context(Driver(library))
    with context, pytest.raises(OutOfDeviceMemoryError), context.memory(1 << 19, 1 << 18, 1 << 19):
        pass
    assert standin.standin_used() == 0


def test_contexts_nest_and_leave_what_was_current(library, standin):
    """Entering twice and leaving twice leaves the stack as it was, also when the body fails."""
    context = Context(Driver(library))
    before = standin.standin_contexts()
    with pytest.raises(RuntimeError, match="body"), context, context:  # noqa: PT012
        assert standin.standin_contexts() == before + 2
        raise RuntimeError("body")
    assert standin.standin_contexts() == before


def test_a_launch_has_the_kernels_number_of_arguments(shim):
    """One too few is refused before the driver reads past the end."""
    with shim.context, pytest.raises(TypeError, match="copy_sweep takes 3 arguments, not 2"):
        shim.function("copy_sweep").launch(1, 2)


def test_a_packed_launch_can_be_changed_and_sent_again(shim):
    """Arguments are read when it is sent: a changed one counts for the next, not the one before."""
    with shim.context, shim.context.memory(64, 64) as (a, b):
        launch = shim.function("write_sweep").launch(a, 4, 7)
        launch()
        launch.set(0, b)
        launch.set(2, 9)
        launch()
        firsts = [int.from_bytes(shim.read(address, 4), "little") for address in (a, b)]
    assert firsts == [7, 9]


def test_a_kernel_that_the_image_lacks_is_named(shim):
    """FP8 by mma.sync is not in Hopper's image, and the refusal says which image."""
    with shim.context, pytest.raises(SymbolMissingError, match="image mma for 90 has no kernel mma_fp8"):
        shim.function("mma_fp8")


def test_the_gate_holds_until_the_host_opens_it(shim):
    """What is enqueued behind the gate does not run while the host is in the body."""
    with shim.context, shim.context.memory(64) as (out,):
        shim.clear(out, 64)
        shim.context.synchronize()
        with shim.gate(1):
            shim.function("write_sweep").launch(out, 4, 7)()
            held = (shim._outcome.value, shim._opened.value)
        assert shim._outcome.value == 1
        assert int.from_bytes(shim.read(out, 4), "little") == 7
    assert held == (0, 0)


def test_an_expired_gate_is_a_typed_error_and_the_work_still_ran(shim):
    """A deadline that passes within the body ends the hold, and what was timed counts as ungated."""
    with shim.context, shim.context.memory(64) as (out,):
        with pytest.raises(GateExpiredError, match=r"over 0\.001 ms"), shim.gate(1, deadline_ns=1000):  # noqa: PT012
            shim.function("write_sweep").launch(out, 4, 7)()
            while shim._outcome.value == 0:
                pass
        assert int.from_bytes(shim.read(out, 4), "little") == 7


def test_an_expired_gate_is_rerun_ungated_with_the_reason(shim, standin, monkeypatch):
    """The run says that it is not gated, and why."""
    with shim.context:
        empty = shim.function("empty").launch()
        before = standin.standin_launches()
        assert shim.run_gated(empty, 3).gated
        assert standin.standin_launches() - before == 1 + 1 + 3, "one to load, the gate, three behind it"

        def expire(*_args, **_kwargs):
            raise GateExpiredError("too slow")

        monkeypatch.setattr(shim, "time_gated_ns", expire)
        run = shim.run_gated(empty, 3)
    assert (run.gated, run.reason, run.iterations) == (False, "too slow", 3)
    assert run.span_ns > 0


@pytest.mark.parametrize("iterations", [0, 129])
def test_at_most_128_iterations_stand_behind_a_gate(shim, iterations):
    """More could fill the launch queue and hold the host for ever."""
    with shim.context, pytest.raises(ValueError, match="1 to 128"), shim.gate(iterations):
        pass


def test_an_attached_profiler_is_found_and_refused(tmp_path, monkeypatch):
    """An injection variable or an injected library is a foreign profiler; a plain process has none."""
    maps = tmp_path / "maps"
    maps.write_text("7f00 r-xp /usr/lib/libcupti.so.13\n")
    assert attached_profiler({}, maps) is None
    assert (
        attached_profiler({"CUDA_INJECTION64_PATH": "/opt/x.so"}, maps) == "CUDA_INJECTION64_PATH=/opt/x.so"
    )
    maps.write_text("7f00 r-xp /opt/nsys/libToolsInjection64.so\n")
    assert attached_profiler({}, maps) == "libToolsInjection"
    monkeypatch.setenv("CUDA_INJECTION64_PATH", "/opt/x.so")
    with pytest.raises(ProfilerAttachedError, match="run without it to measure"):
        CudaShim(0, library="libcuda-absent.so.1")


def test_the_shim_loads_without_torch_and_numpy():
    """Its import brings neither: a worker and `doctor` load it for next to nothing."""
    code = (
        "import sys, harness.shim.cuda; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_driver_is_loaded_once(library, standin):
    """Two sessions share one library."""
    assert cuda_driver.load(library) is cuda_driver.load(library)
