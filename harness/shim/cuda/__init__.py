"""The CUDA half of the shim: one class that measures what an NVIDIA device can do at most.

    with CudaShim(0) as shim:
        shim.bandwidth("triad").value      # B/s
        shim.arithmetic("bf16").value      # FLOP/s by the fastest path to the matrix units

It needs the driver alone: no torch, no nvcc. Streams and buffers are plain integers.
"""

from __future__ import annotations

from harness.shim.cuda.arithmetic import Arithmetic
from harness.shim.cuda.memory import Memory

__all__ = ["CudaShim"]


class CudaShim(Memory, Arithmetic):
    """An opened device: its clocks, memory and arithmetic."""
