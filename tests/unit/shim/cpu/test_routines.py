"""The CPU's routines: what they compute is known exactly, and so is how much work that was."""

import os

import pytest

from harness.shim.ceiling import Ceiling, Ceilings, latency, missing, rate
from harness.shim.cpu import ceilings, routines
from harness.system import native

HERE = min(os.sched_getaffinity(0))


@pytest.fixture(scope="module", autouse=True)
def compiler():
    """Skip, with the reason, where nothing can be compiled."""
    try:
        routines.library()
    except native.NotBuiltError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("kernel", "each"), [("triad", 7.0), ("sum", 1.0)])
@pytest.mark.parametrize("n", [64, 1000, 4096 + 13])
def test_every_element_of_every_thread_is_worked_on(kernel, each, n):
    """A triad of ones and twos is 7 everywhere, a sum of ones their number, odd lengths included."""
    ran = routines.run(kernel, n, [HERE, routines.NOT_PINNED], reps=2)
    assert ran.checksums == (each * n, each * n)
    assert ran.pinned == 1
    assert len(ran.wall_ns) == len(ran.cpu_ns) == 2


@pytest.mark.parametrize("kernel", ["fma_f32", "fma_f64"])
def test_the_steps_of_multiply_adds_are_all_taken(kernel):
    """From 0, three steps of x/2 + 1 end at 1.75 in every lane: no step is optimised away."""
    lanes = routines.fma_lanes(kernel)
    for steps, value in ((1, 1.0), (2, 1.5), (3, 1.75)):
        assert routines.run(kernel, steps, [HERE], 1).checksums == (lanes * value,)


def test_a_chase_visits_every_line_once():
    """The ring of 4096 bytes is one cycle of 64 lines."""
    assert routines.run("chase", 4096, [HERE], 1).checksums == (64.0,)


def test_the_chain_adds_as_often_as_it_says():
    """2n dependent additions of two ones give the Fibonacci numbers; whole blocks of eight are done."""
    a, b = 1, 1
    for _ in range(16):
        a += b
        b += a
    assert routines.library().dependent_additions(16) == b


def test_more_work_takes_more_cpu_time():
    """CPU time belongs to the thread that worked: a thousand times the steps take longer."""
    short, long = (min(routines.run("chain", n, [HERE], 3).cpu_ns) for n in (1 << 10, 1 << 20))
    assert long > short


def test_meetings_and_forks_take_time():
    """A barrier of two and a fork of two have a duration each."""
    assert min(routines.barrier_ns([routines.NOT_PINNED] * 2, reps=2, meetings=4)) > 0
    assert len(routines.fork_ns(2, reps=3)) == 3


def test_a_part_that_does_not_fit_in_memory_is_a_typed_refusal():
    """An array of an exabyte is refused in one line, and no thread is left waiting."""
    with pytest.raises(routines.CpuShimError, match="triad: no memory"):
        routines.run("triad", 2**57, [HERE, HERE], 1)


def test_a_wrong_result_is_an_error_not_a_ceiling():
    """A checksum that is not the known answer voids the measurement."""
    with pytest.raises(routines.CpuShimError, match="the result is 3 and must be 7"):
        ceilings.require("triad", (7.0, 3.0), 7.0)


def test_bytes_and_flops_are_counted_as_defined(monkeypatch):
    """Triad 24 B an element, read 8 B, a step two FLOPs a lane, all threads; the best counts."""

    def scripted(kernel, n, cpus, reps):
        each = {"triad": 7.0 * n, "sum": 1.0 * n}.get(kernel, routines.fma_lanes("fma_f32") * 2.0)
        return routines.Run((2000, 1000, 4000), (1600, 1600, 1600), 2, 2, (each, each))

    monkeypatch.setattr(ceilings.routines, "run", scripted)
    triad = ceilings.bandwidth("triad", (0, 1), 2 * 24 * 640, 3)
    assert triad.value == pytest.approx(2 * 24 * 640 / 1e-6)
    assert triad.median == pytest.approx(2 * 24 * 640 / 2e-6)
    assert triad.per_cpu_s == pytest.approx(2 * 24 * 640 / 0.8e-6)
    assert ceilings.bandwidth("sum", (0, 1), 2 * 24 * 640, 3).value == pytest.approx(2 * 8 * 640 / 1e-6)
    fma = ceilings.fma("fma_f32", (0, 1), 100, 3)
    assert fma.value == pytest.approx(2 * routines.fma_lanes("fma_f32") * 100 * 2 / 1e-6)


def test_levels_are_chased_within_themselves(tmp_path):
    """Only data caches count, nearest first."""
    for index, (level, kind, size) in enumerate(
        [(1, "Instruction", "32K"), (2, "Unified", "1024K"), (1, "Data", "48K")]
    ):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{text}\n")
    assert ceilings.data_caches(tmp_path) == [
        ceilings.Cache(1, 48 * 1024),
        ceilings.Cache(2, 1024 * 1024),
    ]


def test_a_level_that_is_too_large_for_the_effort_says_so():
    """A ring that would lie in the last cache is left out, with the reason."""
    levels = [ceilings.Cache(1, 4096), ceilings.Cache(2, 64 * 2**20)]
    small = ceilings.Effort(reps=1, arrays_bytes=2**20, ring_bytes=2**16)
    found = {c.id: c for c in ceilings._latencies([HERE], levels, small)}
    assert found["latency.L1"].value
    assert found["latency.L2"].method == "pointer chase over 64 KiB"
    assert found["latency.memory"].value is None
    assert "less than twice the last cache" in found["latency.memory"].reason
    assert found["latency.barrier"].reason == "one core has nobody to meet"


def test_ceilings_answer_by_kind_and_precision():
    """The best bandwidth, the best rate of a precision, latencies in ns; what is missing is None, not 0."""
    found = Ceilings(
        "cpu",
        (
            rate("bandwidth.triad", "B/s", 10.0, [10**9], "a"),
            rate("bandwidth.read", "B/s", 30.0, [10**9], "b"),
            rate("flops.fma.fp32", "FLOP/s", 100.0, [10**9, 2 * 10**9], "c"),
            rate("flops.matmul.fp32", "FLOP/s", 90.0, [10**9], "d"),
            latency("latency.L1", [2.0, 3.0], "e"),
            missing("latency.memory", "s", "too large"),
        ),
    )
    assert found.bandwidth_b_s == 30.0
    assert found.flop_s("fp32") == 100.0
    assert found.flop_s("bf16") is None
    assert found.latency_ns == {"L1": pytest.approx(2.0)}
    assert isinstance(found.get("flops.fma.fp32"), Ceiling)
    assert found.get("flops.fma.fp64") is None


def test_steal_is_the_share_of_all_time_between_two_readings():
    """5 of 100 jiffies stolen is 5 %; unknown stays unknown."""
    assert ceilings.steal_ratio((10, 1000), (15, 1100)) == pytest.approx(0.05)
    assert ceilings.steal_ratio((None, None), (15, 1100)) is None
