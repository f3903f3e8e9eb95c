"""The kernels' own sources, built as C++ and launched through the driver's interface, give right results."""

from __future__ import annotations

import ctypes
import ctypes.util
import math

import numpy as np
import pytest

from harness.shim.cuda.clock import StampRing

libm = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
libm.fma.restype, libm.fma.argtypes = ctypes.c_double, [ctypes.c_double] * 3
libm.fmaf.restype, libm.fmaf.argtypes = ctypes.c_float, [ctypes.c_float] * 3


@pytest.fixture
def opened(shim):
    """Make the shim's context current."""
    with shim.context:
        yield shim


@pytest.fixture
def buffer(opened):
    """Allocate 64 KiB of device memory."""
    with opened.context.memory(1 << 16) as (address,):
        yield address


def content(shim, address, dtype, count):
    """Return device memory as an array."""
    return np.frombuffer(shim.read(address, np.dtype(dtype).itemsize * count), dtype)


def chained(thread, b, c, steps, fma, add):
    """Return what one thread of kernels/arithmetic.cu leaves: 16 chains, summed in order."""
    total = None
    for chain in range(16):
        x = float(thread % 97 + chain)
        for _ in range(steps):
            x = fma(x, b, c)
        total = x if total is None else add(total, x)
    return total


def test_fp32_chains_are_exact(opened, buffer):
    """Two passes of 16 fused multiply-adds agree to the bit with the C library's."""
    opened.function("fma_f32").launch(buffer, 0.75, 0.5, 2, grid=2, block=128)()
    got = content(opened, buffer, np.float32, 256)
    for thread in (0, 1, 127, 128, 255):
        expected = chained(
            thread, 0.75, 0.5, 32, libm.fmaf, lambda a, b: float(np.float32(a) + np.float32(b))
        )
        assert got[thread] == np.float32(expected)


def test_fp64_chains_are_exact(opened, buffer):
    """The same in double precision."""
    opened.function("fma_f64").launch(buffer, 0.99, 0.01, 1, block=64)()
    got = content(opened, buffer, np.float64, 64)
    assert [got[t] for t in (0, 63)] == [chained(t, 0.99, 0.01, 16, libm.fma, float.__add__) for t in (0, 63)]


def test_int32_chains_wrap(opened, buffer):
    """Integer chains are arithmetic modulo 2^32."""
    b, c = 1664525, 1013904223
    opened.function("mad_i32").launch(buffer, b, c, 3, block=100)()
    got = content(opened, buffer, np.uint32, 100)
    total = 0
    for chain in range(16):
        x = 99 % 97 + chain
        for _ in range(48):
            x = (x * b + c) % 2**32
        total = (total + x) % 2**32
    assert got[99] == total


def test_random_fill_is_balanced_and_depends_on_the_seed(opened, buffer):
    """Half of all bits are set, words differ, and another seed gives other words."""
    fill = opened.function("fill_random")
    fill.launch(buffer, 4096, 1, grid=3, block=64)()
    first = content(opened, buffer, np.uint32, 16384).copy()
    fill.launch(buffer, 4096, 2, grid=3, block=64)()
    second = content(opened, buffer, np.uint32, 16384)
    assert abs(np.unpackbits(first.view(np.uint8)).mean() - 0.5) < 0.005
    assert len(np.unique(first)) > 16000
    assert (first != second).mean() > 0.99


@pytest.mark.parametrize("count", [1, 191, 192, 193, 768, 1000])
def test_the_read_sweep_reads_each_word_once(opened, buffer, count):
    """The XOR over all threads is the XOR over all words, whatever the remainder."""
    with opened.context.memory(4 * 192) as (folded,):
        opened.function("fill_random").launch(buffer, 4096, 7, block=64)()
        opened.function("read_sweep").launch(buffer, count, folded, grid=3, block=64)()
        parts = content(opened, folded, np.uint32, 192)
        words = content(opened, buffer, np.uint32, 4 * count)
    assert np.bitwise_xor.reduce(parts) == np.bitwise_xor.reduce(words)


@pytest.mark.parametrize("count", [5, 192, 1000])
def test_the_copy_copies_and_stops_at_the_end(opened, buffer, count):
    """Every word arrives and the one after the last is left alone."""
    with opened.context.memory(1 << 16) as (target,):
        opened.clear(target, 1 << 16)
        opened.function("fill_random").launch(buffer, 4096, 3, block=64)()
        opened.function("copy_sweep").launch(buffer, target, count, grid=3, block=64)()
        source, copied = (content(opened, address, np.uint32, 16384) for address in (buffer, target))
    assert (copied[: 4 * count] == source[: 4 * count]).all()
    assert not copied[4 * count :].any()


def test_the_write_sweep_writes_all_of_it(opened, buffer):
    """Each 16 bytes hold the pattern of the value."""
    opened.clear(buffer, 1 << 16)
    opened.function("write_sweep").launch(buffer, 100, 5, grid=3, block=64)()
    words = content(opened, buffer, np.uint32, 4 * 101).reshape(-1, 4)
    assert (words[:100] == [5, 2**32 - 6, 5 * 0x9E3779B1 % 2**32, 5 ^ 0x5555AAAA]).all()
    assert not words[100].any()


@pytest.mark.parametrize("count", [3, 200, 1000])
def test_triad_is_b_plus_s_c(opened, buffer, count):
    """A = b + s * c, fused, in every element and none beyond."""
    with opened.context.memory(1 << 16, 1 << 16) as (b, c):
        values = np.linspace(-3, 5, 4 * count, dtype=np.float32)
        for address, host in ((b, values), (c, values[::-1].copy())):
            opened.driver.call("cuMemcpyHtoDAsync_v2", address, host.ctypes.data, host.nbytes, 0)
        opened.context.synchronize()
        opened.clear(buffer, 1 << 16)
        opened.function("triad").launch(buffer, b, c, 3.0, count, grid=2, block=64)()
        got = content(opened, buffer, np.float32, 16384)
    expected = (values.astype(np.float64) + 3.0 * values[::-1].astype(np.float64)).astype(np.float32)
    assert (got[: 4 * count] == expected).all()
    assert not got[4 * count :].any()


@pytest.mark.parametrize("order", [4, 9])
def test_linked_lines_are_one_ring(opened, buffer, order):
    """From line 0 every line is met once before line 0 comes again."""
    opened.function("chase_link").launch(buffer, order, 8, grid=2, block=64)()
    words = content(opened, buffer, np.uint32, 8 << order)
    seen, at = [], 0
    for _ in range(1 << order):
        seen.append(at)
        at = int(words[at])
    assert at == 0
    assert sorted(seen) == list(range(0, 8 << order, 8))


@pytest.mark.parametrize("kernel", ["chase_l1", "chase_l2"])
def test_the_chase_follows_the_ring(opened, buffer, kernel):
    """After n steps it stands where the ring says; both clocks ran."""
    opened.function("chase_link").launch(buffer, 6, 32, block=64)()
    words = content(opened, buffer, np.uint32, 32 << 6)
    with opened.context.memory(24) as (took,):
        opened.function(kernel).launch(buffer, 37, took)()
        cycles, _elapsed_ns, last = opened.read_u64(took, 3)
    at = 0
    for _ in range(37):
        at = int(words[at])
    assert last == at
    assert cycles > 0


def test_the_tick_probe_finds_the_stand_ins_tick(opened):
    """The stand-in's timer moves in steps of 32 ns; none seen is smaller."""
    tick = opened.tick_ns()
    assert tick is not None
    assert tick % 32 == 0


def test_stamps_wrap_and_keep_their_order(opened):
    """A ring of 8 keeps the last 8 of 11 stamps, oldest first, on the SM of their block."""
    ring = StampRing(opened, 8)
    for tag in range(11):
        ring.launch(tag)()
    stamps = ring.read()
    ring.free()
    assert [stamp.tag for stamp in stamps] == list(range(3, 11))
    assert {stamp.sm for stamp in stamps} == {0}
    times = [stamp.timer_ns for stamp in stamps]
    assert times == sorted(times)
    assert times[0] > 0


def test_a_stamp_ring_needs_a_power_of_two(opened):
    """Its place is found by a mask."""
    with pytest.raises(ValueError, match="power of two"):
        StampRing(opened, 12)


def test_a_spin_lasts_as_many_cycles_as_asked(opened):
    """Never fewer, and what it tells agrees on both clocks to within two ticks."""
    with opened.context.memory(16) as (took,):
        opened.function("spin").launch(150_000, took)()
        cycles, elapsed_ns = opened.read_u64(took, 2)
    assert cycles >= 150_000
    assert math.isclose(cycles / 1.5, elapsed_ns, rel_tol=0.5)


def test_barriers_are_counted_in_cycles(opened, buffer):
    """One thread of the block leaves the cycles of all steps."""
    opened.clear(buffer, 8)
    opened.function("barrier").launch(100, buffer, block=32)()
    assert opened.read_u64(buffer, 1)[0] < 10**9
