"""The kernels on the device itself: known answers, the ones with inline PTX included."""

from __future__ import annotations

import ctypes

import pytest

from harness.shim.cuda.arithmetic import _OPERANDS, MATRIX_KINDS, matrix_paths, unit_for
from harness.shim.cuda.clock import StampRing
from harness.shim.errors import ArchitectureError

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("kind", MATRIX_KINDS)
@pytest.mark.parametrize("path", ["mma", "wgmma", "tcgen05"])
def test_products_of_ones_count_their_own_multiplications(shim, kind, path):
    """With operands of 1 a thread's sum is the multiply-adds that the rate counts for it."""
    if path not in matrix_paths(shim.context.capability):
        pytest.skip(f"this device has no {path}")
    try:
        unit = unit_for(kind, path, shim.context.capability)
    except ArchitectureError as error:
        pytest.skip(str(error))
    passes, grid = 3, 2
    scalar = ctypes.c_int32 if kind == "int8" else ctypes.c_float
    with shim.context, shim.context.memory(4 * grid * unit.threads) as (out,):
        function = shim.function(unit.kernel)
        if unit.shared_bytes:
            function.allow_shared(unit.shared_bytes)
        launch = function.launch(
            out, _OPERANDS[kind][0], 0, passes, grid=grid, block=unit.threads, shared_bytes=unit.shared_bytes
        )
        launch()
        sums = (scalar * (grid * unit.threads)).from_buffer_copy(shim.read(out, 4 * grid * unit.threads))
    assert set(sums) == {passes * unit.operations / 2 / unit.threads}


def test_no_kernel_spills_on_the_device(shim):
    """The driver's own account agrees with the lint: no local memory."""
    with shim.context:
        for kind in shim.arithmetic_kinds():
            kernel = shim._unit(kind, None).kernel
            assert shim.function(kernel).local_bytes == 0, kernel


def test_every_sm_stamps_and_runs_at_one_clock(shim):
    """A snapshot reaches at least 95 % of the SMs, and their clocks agree within 1 %."""
    clock = shim.sm_clock()
    assert len(clock.hz) >= 0.95 * shim.multiprocessors
    assert clock.spread < 0.01


def test_memory_of_torch_is_the_shims_memory(shim, cuda_torch):
    """Both work in the primary context: a kernel of ours writes into a tensor, on torch's stream."""
    tensor = cuda_torch.zeros(64, dtype=cuda_torch.int32, device="cuda:0")
    stream = cuda_torch.cuda.current_stream().cuda_stream
    with shim.context:
        shim.function("write_sweep").launch(tensor.data_ptr(), 16, 7, block=32, stream=stream)()
    assert tensor[::4].tolist() == [7] * 16


def test_stamps_work_inside_a_captured_graph(shim, cuda_torch):
    """Each replay stamps anew, in order of time."""
    with shim.context:
        ring = StampRing(shim, 64)
        launch = ring.launch(5)
        launch()
        shim.context.synchronize()
        graph = cuda_torch.cuda.CUDAGraph()
        with cuda_torch.cuda.graph(graph):
            launch.on(cuda_torch.cuda.current_stream().cuda_stream)
            launch()
        for _ in range(3):
            graph.replay()
        cuda_torch.cuda.synchronize()
        stamps = ring.read()
        ring.free()
    assert [stamp.tag for stamp in stamps] == [5] * 4
    times = [stamp.timer_ns for stamp in stamps]
    assert times == sorted(times)
    assert len(set(times)) > 1
