"""What the native sampler takes: its share of a core, and whether it can hold the interpreter's lock at all.

    python benchmarks/energy_sampler.py [--seconds 10]

Core time is that of the sampler's own thread, from the kernel. The lock can be held only through Python's own
functions, and the sampler's library refers to none.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

from harness.energy.sampling.thread import NativeSampler, load
from harness.energy.sensors.base import NativeRead

LIMIT_CORE = 0.3e-2
TASKS = Path("/proc/self/task")


def core_share(reads: list[NativeRead], hz: float, seconds: float) -> tuple[float, float]:
    """Return the sampler thread's share of a core, and the rounds it made as a share of those due."""
    before = set(TASKS.iterdir())
    sampler = NativeSampler(reads, round(1e9 / hz), 1 << 18)
    (thread,) = set(TASKS.iterdir()) - before
    begin = time.perf_counter()
    used = _cpu_s(thread)
    time.sleep(seconds)
    share = (_cpu_s(thread) - used) / (time.perf_counter() - begin)
    due = hz * (time.perf_counter() - begin)
    rows, _ = sampler.stop()
    return share, len(rows) / 32 / len(reads) / due


def python_symbols() -> list[str]:
    """Return the names of Python's own functions that the sampler's library refers to."""
    return [
        name.decode()
        for name in re.findall(rb"\x00(_?Py[A-Z]\w+)\x00", Path(load()._name).read_bytes())  # noqa: SLF001 - where it lies
    ]


def _cpu_s(thread: Path) -> float:
    """Return a thread's CPU time from the scheduler, in seconds."""
    return int((thread / "schedstat").read_text().split()[0]) * 1e-9


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        counter = Path(folder) / "energy_uj"
        counter.write_text("123456789\n")
        reads = [NativeRead(op=1, scale=1e-6, path=str(counter))]
        print("| rate | share of a core | limit | rounds made of those due |\n| --- | --- | --- | --- |")
        broken = []
        for hz, channels, limit in ((100.0, 1, None), (100.0, 3, LIMIT_CORE), (1000.0, 3, None)):
            share, made = core_share(reads * channels, hz, seconds)
            bound, what = (
                "" if limit is None else f"{limit:.2%}",
                "one read" if channels == 1 else f"{channels} reads",
            )
            print(f"| {hz:g} Hz, {what} | {share:.3%} | {bound} | {made:.1%} |")
            broken += [f"{share:.3%} of a core at {hz:g} Hz"] if limit is not None and share > limit else []
    symbols = python_symbols()
    print(f"\nPython's functions that the sampler refers to: {len(symbols)}")
    if broken or symbols:
        sys.exit(f"beyond its limit: {[*broken, *symbols]}")


if __name__ == "__main__":
    main()
