"""The sampler as a process: for meters that only Python can read, and where there is no C compiler.

Parent: `ProcessSampler`. Child: this module as a program, with the meters to open as JSON in its first
argument; it writes rows to the shared memory whose descriptor it inherits, and ends when its standard input
closes, so it never outlives its parent.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from struct import Struct

from harness.energy.sampling.trace import IMPLAUSIBLE, ROW
from harness.energy.sensors.base import ImplausibleReading, PowerMeter, SensorError, SensorInfo
from harness.energy.sensors.registry import get

_HEAD = Struct("=Q")
"""Rows written so far, in front of the ring."""
_FAILED = -1
"""Status of a read that raised in Python."""
_GRACE_S = 5.0


class ProcessSampler:
    """A helper process that opens the same devices and reads their sensors once a period."""

    def __init__(
        self, channels: Sequence[tuple[PowerMeter, SensorInfo]], period_ns: int, capacity_rows: int
    ) -> None:
        """Start the process.

        Raises:
            SensorError: it could not open the sensors; the reason is the child's.
        """
        self._capacity = capacity_rows
        shared = os.memfd_create("joulemark-sampler")
        try:
            os.ftruncate(shared, _HEAD.size + capacity_rows * ROW.size)
            self._memory = mmap.mmap(shared, 0)
            order = [
                [meter.source, meter.locate(), (*meter.sensors, *meter.states).index(sensor)]
                for meter, sensor in channels
            ]
            task = json.dumps(
                {"fd": shared, "period_ns": period_ns, "capacity": capacity_rows, "channels": order}
            )
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.energy.sampling.process", task],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[shared],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        finally:
            os.close(shared)

    def wait_first(self, timeout_s: float) -> bool:
        """Wait until every channel was read once; False when that took too long.

        Raises:
            SensorError: the child could not open the sensors.
        """
        assert self._child.stdout is not None
        if not select.select([self._child.stdout], [], [], timeout_s)[0]:
            return False
        said = self._child.stdout.readline().decode().strip()
        if said != "ready":
            self.stop()
            raise SensorError(f"sampler process: {said or 'ended at once'}")
        return True

    def stop(self) -> tuple[bytes, int]:
        """End the process and return its rows, oldest first, and how many the ring had to drop."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        try:
            self._child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()
        written = _HEAD.unpack_from(self._memory)[0]
        ring = self._memory[_HEAD.size :]
        self._memory.close()
        if written <= self._capacity:
            return ring[: written * ROW.size], 0
        split = written % self._capacity * ROW.size
        return ring[split:] + ring[:split], written - self._capacity


def main(task: str) -> None:
    """Open the meters and sample until standard input closes."""
    todo = json.loads(task)
    memory = mmap.mmap(todo["fd"], 0)
    try:
        meters = {(s, d): get(s).open(d) for s, d, _ in todo["channels"]}
    except SensorError as error:
        print(error.reason, flush=True)
        return
    channels = [
        (meters[s, d], (*meters[s, d].sensors, *meters[s, d].states)[i]) for s, d, i in todo["channels"]
    ]
    written = 0
    next_ns = [0] * len(channels)
    due_ns = time.perf_counter_ns()
    while True:
        for number, (meter, sensor) in enumerate(channels):
            if time.perf_counter_ns() < next_ns[number]:
                continue
            next_ns[number] = time.perf_counter_ns() + round(meter.pause_s * 1e9)
            row = _HEAD.size + written % todo["capacity"] * ROW.size
            t0_ns = time.perf_counter_ns()
            try:
                got = meter.read(sensor)
                value = next((v for v in (got.energy_j, got.power_w, got.state) if v is not None), None)
                assert value is not None
                ROW.pack_into(memory, row, got.t0_ns, got.t1_ns, value, number, 0)
            except SensorError as error:
                status = IMPLAUSIBLE if isinstance(error, ImplausibleReading) else _FAILED
                ROW.pack_into(memory, row, t0_ns, time.perf_counter_ns(), 0.0, number, status)
            written += 1
            _HEAD.pack_into(memory, 0, written)
        if written == len(channels):
            print("ready", flush=True)
        now_ns = time.perf_counter_ns()
        due_ns += todo["period_ns"]
        if due_ns < now_ns:  # a missed deadline is skipped, never made up for
            due_ns += -((due_ns - now_ns) // todo["period_ns"]) * todo["period_ns"]
        if select.select([sys.stdin], [], [], (due_ns - now_ns) / 1e9)[0]:
            return


if __name__ == "__main__":
    main(sys.argv[1])
