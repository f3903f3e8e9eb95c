"""Arithmetic of a CUDA device: its pipelines and matrix units at the measured clock, and the soak."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.shim.cuda.clock import Clocks
from harness.shim.cuda.images import SPECIFIC, Capability
from harness.shim.cuda.launch import Launch
from harness.shim.cuda.session import Rate
from harness.shim.cuda.stamps import median, soaked
from harness.shim.errors import ArchitectureError

PIPELINES = {"fp32": "fma_f32", "fp64": "fma_f64", "int32": "mad_i32"}
_CHAIN_STEPS = 16 * 16
"""Multiply-adds of one thread in one pass of kernels/arithmetic.cu."""
MATRIX_KINDS = ("bf16", "fp16", "tf32", "int8", "fp8")
# What operands are: the number 1 in every part of a word, and the bits that are random, sign and mantissa.
_OPERANDS = {
    "bf16": (0x3F803F80, 0x807F807F),
    "fp16": (0x3C003C00, 0x83FF83FF),
    "tf32": (0x3F800000, 0x807FE000),
    "int8": (0x01010101, 0xFFFFFFFF),
    "fp8": (0x38383838, 0x87878787),
}
_PARTS = {"bf16": 2, "fp16": 2, "tf32": 1, "int8": 4, "fp8": 4}
"""Numbers in a word of 4 bytes."""


@dataclass(frozen=True, slots=True)
class Unit:
    """How a kernel uses the machine, by block."""

    kernel: str
    threads: int
    operations: float
    """Multiplications and additions of one block in one pass."""
    shared_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SoakWindow:
    """One window of a soak."""

    seconds: float
    rate: float
    sm_hz: float


@dataclass(frozen=True, slots=True)
class Soak:
    """The device brought to its steady temperature and clock."""

    windows: tuple[SoakWindow, ...]
    steady: bool
    """False when the cap came first: flag `not_steady`."""

    @property
    def reference_hz(self) -> float:
        """The clock of the last window: the reference of the throttle alarm."""
        return self.windows[-1].sm_hz


def matrix_paths(capability: Capability) -> tuple[str, ...]:
    """Return the ways to a device's matrix units, the fastest first."""
    own = "{}{}a".format(*capability)
    return (*(unit for unit, architecture in SPECIFIC.items() if architecture == own), "mma")


def unit_for(kind: str, path: str, capability: Capability) -> Unit:
    """Return the kernel that does `kind` by `path` on a device.

    Raises:
        ArchitectureError: the device has no such path, or its path not that kind.
    """
    name = "sm_{}{}".format(*capability)
    if path not in matrix_paths(capability):
        raise ArchitectureError(f"{name} has no {path}")
    depth = 8 * _PARTS[kind]  # 32 bytes of K
    if path == "wgmma":
        return Unit(f"wgmma_{kind}", 256, 2 * 4 * 2.0 * 64 * 256 * depth)
    if path == "tcgen05":
        # 50 KiB are used; twice that leaves room for two blocks an SM, whose sums fill tensor memory
        return Unit(f"tcgen05_{kind}", 128, 4 * 2.0 * 128 * 256 * depth, shared_bytes=100 << 10)
    if capability < (8, 0):
        shapes = {"fp16": 16 * 8 * 8, "int8": 8 * 8 * 16}
    else:
        shapes = {k: 16 * 8 * 8 * _PARTS[k] for k in ("bf16", "fp16", "tf32", "int8")}
        if capability == (8, 9) or capability >= (12, 0):
            shapes["fp8"] = 16 * 8 * 32
    if kind not in shapes:
        raise ArchitectureError(f"{name} has no {kind} by mma.sync")
    return Unit(f"mma_{kind}", 256, 8 * 4 * 8 * 2.0 * shapes[kind])


class Arithmetic(Clocks):
    """The arithmetic of an opened device."""

    def arithmetic_kinds(self) -> tuple[str, ...]:
        """Return the kinds that this device has."""
        kinds = list(PIPELINES)
        for kind in MATRIX_KINDS:
            try:
                self._matrix_unit(kind, None)
            except ArchitectureError:
                continue
            kinds.append(kind)
        return tuple(kinds)

    def arithmetic(self, kind: str, path: str | None = None) -> Rate:
        """Measure FLOP/s, also by clock and SM at the clock measured while it ran.

        Args:
            kind: `fp32`, `fp64`, `int32` or one of `MATRIX_KINDS`.
            path: For a matrix kind: `mma`, `wgmma` or `tcgen05`; the fastest unless given.

        Raises:
            ValueError: another kind, or a path of a kind that has none.
            ArchitectureError: this device does not have it.
        """
        with self.context:
            unit = self._unit(kind, path)
            grid = self._grid(unit)
            with self.context.memory(8 * grid * unit.threads) as (out,):
                launch = self._packed(kind, unit, out, grid)
                passes, repeats_ns = self.repeats(launch, 3)
                first = self.snapshot()
                repeats_ns = tuple(self.time_ns(launch) for _ in repeats_ns)
                clock = self.clock_between(first, self.snapshot())
        work = unit.operations * grid * passes
        return self.rate(
            kind,
            "op/s" if kind.startswith("int") else "FLOP/s",
            work,
            repeats_ns,
            unit.kernel,
            clock.median_hz,
        )

    def soak(
        self, kind: str = "fp32", *, window_s: float = 15.0, cap_s: float = 240.0, tolerance: float = 0.001
    ) -> Soak:
        """Work until two windows agree on the rate, or the cap (docs/method.md, section 3).

        Raises:
            ValueError: `cap_s` holds fewer than two windows.
        """
        if cap_s < 2 * window_s:
            raise ValueError(f"a soak of at most {cap_s} s has no two windows of {window_s} s")
        windows: list[SoakWindow] = []
        with self.context:
            unit = self._unit(kind, None)
            grid = self._grid(unit)
            with self.context.memory(8 * grid * unit.threads) as (out,):
                launch = self._packed(kind, unit, out, grid)
                passes, repeats_ns = self.repeats(launch, 3)
                work = unit.operations * grid * passes
                begin = time.monotonic()
                while not soaked([w.rate for w in windows], tolerance) and time.monotonic() - begin < cap_s:
                    windows.append(self._soak_window(launch, work, window_s, median(repeats_ns)))
        return Soak(tuple(windows), soaked([w.rate for w in windows], tolerance))

    def _soak_window(self, launch: Launch, work: float, window_s: float, run_ns: float) -> SoakWindow:
        """Keep the device busy for a window, a tenth of it enqueued at a time: the queue never fills."""
        batch = max(1, min(256, round(window_s * 1e8 / run_ns)))
        took_ns, runs = 0.0, 0

        def enqueue() -> None:
            for _ in range(batch):
                launch()

        first = self.snapshot()
        while took_ns < window_s * 1e9:
            took_ns += self.time_ns(enqueue)
            runs += batch
        clock = self.clock_between(first, self.snapshot())
        return SoakWindow(took_ns / 1e9, work * runs / took_ns * 1e9, clock.median_hz)

    def _unit(self, kind: str, path: str | None) -> Unit:
        if kind in PIPELINES:
            if path is not None:
                raise ValueError(f"{kind} has one path only")
            return Unit(PIPELINES[kind], 256, 256 * 2.0 * _CHAIN_STEPS)
        if kind not in MATRIX_KINDS:
            raise ValueError(f"arithmetic {kind!r}: one of {', '.join((*PIPELINES, *MATRIX_KINDS))}")
        return self._matrix_unit(kind, path)

    def _matrix_unit(self, kind: str, path: str | None) -> Unit:
        capability = self.context.capability
        return unit_for(kind, path or matrix_paths(capability)[0], capability)

    def _grid(self, unit: Unit) -> int:
        function = self.function(unit.kernel)
        if unit.shared_bytes:
            function.allow_shared(unit.shared_bytes)
        return self.multiprocessors * function.blocks_per_sm(unit.threads, unit.shared_bytes)

    def _packed(self, kind: str, unit: Unit, out: int, grid: int) -> Launch:
        # x <- x * b + c, chosen so that every thread's x keeps moving and none overflows
        factors = {
            "fp32": (1.0 - 2.0**-20, 2.0**-10),
            "fp64": (1.0 - 2.0**-20, 2.0**-10),
            "int32": (1664525, 1013904223),
        }
        first, second = factors[kind] if kind in factors else _OPERANDS[kind]
        launch = self.function(unit.kernel).launch(
            out, first, second, 1, grid=grid, block=unit.threads, shared_bytes=unit.shared_bytes
        )
        launch()  # the first launch of an image loads it
        return launch
