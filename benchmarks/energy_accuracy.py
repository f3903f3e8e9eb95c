"""How far energy is from the truth, in wall-clock time, against the stand-in NVML (docs/energy.md).

    python benchmarks/energy_accuracy.py [--quick] [--coverage-only] [--json FILE]

Each scenario runs in a process of its own whose NVML plays a counter; the work is power that the stand-in is
told to draw, and truth is its exact integral over the same moments. Iterations are queued, as on a device,
so that this process may be held up for a while without a gap in the work.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STANDIN = Path(__file__).parents[1] / "tests" / "standins" / "nvml" / "builder.py"
IDLE_W, WORK_W, LOW_W = 60.0, 500.0, 150.0
COVERED = 0.88
"""Least share of the stated 95 % intervals that must hold the truth in wall-clock time."""
CODE = """
import ctypes, json, random, time
import harness.energy as energy
lib = ctypes.CDLL("libnvidia-ml.so.1")
lib.standin_energy_j.restype = ctypes.c_double
lib.standin_set_power.argtypes = [ctypes.c_int, ctypes.c_double]
lib.standin_queue.restype = ctypes.c_int64
lib.standin_queue.argtypes = [ctypes.c_int, ctypes.c_double, ctypes.c_double, ctypes.c_double]
draw = lambda watts: lib.standin_set_power(0, watts)
truth = lambda a, b: lib.standin_energy_j(0, ctypes.c_int64(a), ctypes.c_int64(b))
now = time.perf_counter_ns

def until(moment_ns):
    while (left := moment_ns - now()) > 0:
        time.sleep(left * 1e-9 if left > 200_000 else 0)

def window_of(seconds, watts, idle):
    w = energy.window("nvml", guard_s={guard})
    time.sleep(random.uniform(0, 0.1))
    with w:
        start = now()
        draw(watts)
        until(start + round(seconds * 1e9))
        draw(idle)
        end = now()
    return w.result, truth(*w.result.span_ns)

def mixed(number):
    # One of several waveforms, of random length and powers.
    w = energy.window("nvml")
    low, high, seconds = random.uniform(100, 250), random.uniform(300, 700), random.uniform(0.2, 0.6)
    pieces = {{
        0: [(seconds, high)],
        1: [(seconds / 16, low + (high - low) * (i if i < 8 else 15 - i) / 7) for i in range(16)],
        2: [(seconds / 10, random.uniform(low, high)) for _ in range(10)],
        3: [(seconds, {idle})],
    }}[number % 4]
    with w:
        start = now()
        for piece_s, watts in pieces:
            end_ns = lib.standin_queue(0, piece_s, watts, {idle})
        until(end_ns)
        end = now()
    return w.result, truth(*w.result.span_ns)

def loop_of(period, seconds, shift):
    end = [0]
    def step(_):
        lib.standin_queue(0, period * 0.25, {work}, {idle})
        end[0] = lib.standin_queue(0, period * 0.75, {low}, {idle})
        until(end[0] - round(2 * max(period, 0.02) * 1e9))  # as much is queued at most
    energy_of = energy.measure_loop(step, energy.window("nvml"), seconds=seconds, shift=shift,
                                    synchronize=lambda: until(end[0]))
    r = energy_of.window
    idle_s = (r.span_ns[1] - r.span_ns[0]) * 1e-9 - r.span_s
    return r, truth(*r.span_ns) - {idle} * idle_s

def two_reads(seconds, watts, idle):
    # A read at each end of two guards, whole periods apart, and nothing else.
    from harness.energy.estimation.estimate import Idle, counter_energy, rest_power
    from harness.energy.probing.cache import fitted
    meter, = energy.resolve("nvml")
    sensor = meter.sensors[0]
    info = fitted(meter, sensor)
    period_ns = info.update_period_s * 1e9
    time.sleep(0.4)
    reads = [meter.read(sensor)]
    def read_after(ns):
        whole = -(-(now() + ns - reads[0].t0_ns) // period_ns)
        until(reads[0].t0_ns + whole * period_ns)
        reads.append(meter.read(sensor))
    read_after(5 * period_ns)
    start = now()
    draw(watts)
    until(start + round(seconds * 1e9))
    draw(idle)
    end = now()
    read_after(4e8)
    read_after(5 * period_ns)
    rests = [rest_power(info, reads[i:i + 2]) for i in (0, 2)]
    power = Idle(sum(p.watts for p in rests) / 2, sum(p.u_watts ** 2 for p in rests) ** 0.5 / 2)
    return counter_energy(info, [reads[0], reads[3]], (start, end), power), truth(start, end)

def trial_of(period, seconds):
    # What a trial records of iterations in step with the counter.
    from types import SimpleNamespace
    from harness import timing, trial_energy
    from harness.devices.cpu import CpuDevice
    device, end = CpuDevice(0, threads=1), [0]
    device.open()
    def step(*_):
        lib.standin_queue(0, period * 0.25, {work}, {idle})
        end[0] = lib.standin_queue(0, period * 0.75, {low}, {idle})
        until(end[0] - round(2 * max(period, 0.02) * 1e9))
    settings = timing.TimingSettings(seconds=seconds, warmup_s=0.2, warmup_cap_s=1.0, steady_window_s=0.2)
    window = energy.window("nvml")
    measured = timing.measure_steps(step, device=device, settings=settings, window=window)
    until(end[0])
    loop = lambda: energy.measure_loop(step, energy.window("nvml"), seconds=seconds,
                                       synchronize=lambda: until(end[0]))
    found = trial_energy.span_energy(window.result, measured, loop)
    use, says = found.use(), found.evidence()
    r = SimpleNamespace(joules=use.joules, u_joules=use.u_joules, u_absolute_joules=says["u_absolute_joules"],
                        method=says["sensor_method"], flags=says["sensor_flags"], reason=use.reason)
    return r, ({work} * 0.25 + {low} * 0.75) * period * measured.iterations

energy.resolve("nvml")  # the stand-in reads its script when it is first opened
rows = []
for i in range({repeats}):
    {call}
    rows.append([r.joules, r.u_joules, r.u_absolute_joules, t, r.method, list(r.flags), r.reason])
print(json.dumps(rows))
"""
FULL = "counter 0.1 0.03 1\ninstant 0.1 0.1\n"
PART = "counter {0} 0 1 {1}\ninstant {0} {1}\n"


def scenarios(quick: bool) -> Iterator[tuple[str, str, str, int, float | None, float]]:
    """Yield name, script, call, repeats, limit in per cent (None shows a figure only), guard_s."""
    few = 4 if quick else 20
    for seconds, limit in ((0.2, 1.0), (0.23, 1.0), (1.0, 0.5), (1.037, 0.5)):
        call = f"r, t = window_of({seconds}, {WORK_W}, {IDLE_W})"
        yield f"burst {seconds} s, tick-aligned", FULL, call, few, limit, -1
    burst = f"r, t = window_of(0.2, {WORK_W}, {IDLE_W})"
    yield "burst 0.2 s, polling disturbs", FULL + "disturb 0.05\n", burst, few, 1.0, -1
    reads = f"r, t = two_reads(0.2, {WORK_W}, {IDLE_W})"
    yield "burst 0.2 s, two reads on each side", FULL, reads, few, 5.0, -1
    yield "burst 0.2 s, no guards", FULL, burst, few, None, 0
    yield "burst 1 s, no guards", FULL, f"r, t = window_of(1.0, {WORK_W}, {IDLE_W})", few, None, 0
    steady = f"r, t = window_of(5.0, {WORK_W}, {WORK_W})"
    yield "steady 5 s", FULL, f"draw({WORK_W}); " + steady, max(2, few // 4), 0.3, -1
    for period, update, window in (
        (0.02, 0.02, 0.005),
        (0.1, 0.1, 0.025),
        (0.1, 0.02, 0.005),
        (0.02, 0.1, 0.025),
    ):
        for shift in (True, False):
            call = f"r, t = loop_of({period}, 5.0, {shift})"
            name = f"iterations of {1e3 * period:g} ms, duty-cycled counter {1e3 * update:g} ms"
            script = PART.format(update, window)
            repeats = max(2, few // 5)
            yield (
                f"{name}, {'shifted' if shift else 'plain'}",
                script,
                call,
                repeats,
                1.0 if shift else None,
                -1,
            )

    for period in (0.02, 0.1):
        script = PART.format(period, period / 4)
        call = f"r, t = trial_of({period}, 4.0)"
        name = f"trial with iterations of {1e3 * period:g} ms, duty-cycled counter {1e3 * period:g} ms"
        yield name, script, call, max(2, few // 5), 1.0, -1


def mixtures(quick: bool) -> Iterator[tuple[str, str, str, int, float | None, float]]:
    """Yield like `scenarios`, for the coverage of intervals: mixed waveforms on counters of several kinds."""
    for name, script in (
        ("100 ms", FULL),
        ("20 ms", "counter 0.02 0 1\ninstant 0.02 0.02\n"),
        ("50 ms, lag 80 ms", "counter 0.05 0.08 1\ninstant 0.05 0.05\n"),
        ("100 ms, quantum 0.5 J", "counter 0.1 0 500\ninstant 0.1 0.1\n"),
        ("100 ms, polling disturbs", FULL + "disturb 0.05\n"),
    ):
        yield f"mixed waveforms, counter {name}", script, "r, t = mixed(i)", 12 if quick else 24, None, -1


def main() -> None:
    """Run all scenarios and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="scenarios whose name holds this text")
    parser.add_argument("--quick", action="store_true", help="a few windows each")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--coverage-only", action="store_true", help="mixed waveforms alone, about 3 minutes")
    options = parser.parse_args()
    began = time.monotonic()
    todo = [*([] if options.coverage_only else scenarios(options.quick)), *mixtures(options.quick)]
    todo = [scenario for scenario in todo if options.only in scenario[0]]
    builder = _builder()
    figures: list[dict[str, Any]] = []
    print("| scenario | n | error p95 | limit | 95 % interval covers | stated u | method, flags |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        library = builder.build(Path(folder) / "lib")
        for number, (name, script, call, repeats, limit, guard) in enumerate(todo):
            path = Path(folder) / f"{number}.txt"
            path.write_text(
                f"device GPU-00000000-0000-0000-0000-0000000000{number:02d} GPU\nhold 0 60\n{script}"
            )
            code = CODE.format(
                call=call,
                repeats=repeats,
                guard=guard if guard >= 0 else None,
                work=WORK_W,
                low=LOW_W,
                idle=IDLE_W,
            )
            rows = builder.run(code, builder.environment(library, path, Path(folder) / "cache"), 300)
            figure = summary(name, rows, limit)
            figures.append(figure)
            print(line(figure), flush=True)
    covered = [hit for figure in figures if figure["name"].startswith("mixed") for hit in figure["covers"]]
    share = sum(covered) / len(covered) if covered else 1.0
    print(f"\n95 % intervals that hold, mixed waveforms: {sum(covered)} of {len(covered)} ({share:.0%})")
    print(f"took {time.monotonic() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "covered": sum(covered), "of": len(covered)}))
    wrong = [f["name"] for f in figures if f["limit"] is not None and f["p95"] > f["limit"]]
    sys.exit(f"beyond their limit: {wrong}, coverage {share:.0%}" if wrong or share < COVERED else 0)


def summary(name: str, rows: list[list[Any]], limit: float | None) -> dict[str, Any]:
    """Return one scenario's figures; a window without a number is an error as large as the truth."""
    errors = sorted(100 * abs(((j or 0.0) - t) / t) for j, _, _, t, *_ in rows)
    covers = [j is not None and u is not None and abs(j - t) <= 1.96 * u for j, u, _, t, *_ in rows]
    return {
        "name": name,
        "n": len(rows),
        "p95": errors[min(len(errors) - 1, round(0.95 * len(errors)))] if len(errors) < 20 else errors[-2],
        "limit": limit,
        "covers": covers,
        "u": max((100 * u / t for _, u, _, t, *_ in rows if u is not None), default=None),
        "method": " or ".join(dict.fromkeys(row[4] for row in rows)),
        "flags": sorted({flag for row in rows for flag in row[5] if flag != "gain_uncalibrated"}),
    }


def line(f: dict[str, Any]) -> str:
    """Return a figure as a row of the table."""
    limit = "" if f["limit"] is None else f"{f['limit']:g} %"
    how = ", ".join([f["method"], *f["flags"]])
    return (
        f"| {f['name']} | {f['n']} | {f['p95']:.2f} % | {limit} | {sum(f['covers'])}/{f['n']} | "
        f"{'none' if f['u'] is None else format(f['u'], '.2f') + ' %'} | {how} |"
    )


def _builder() -> Any:
    spec = importlib.util.spec_from_file_location("nvml_standin_builder", STANDIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
