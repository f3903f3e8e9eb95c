"""A sweep's live view: Prometheus metrics on the loopback address, from the process that does not measure.

The server's thread sleeps until somebody asks; an answer reads what the sweep has told so far, the kernel's
counters and, where there is one, the GPU's driver. `run.monitor=true` turns it on; `docs/grafana.json` draws
it.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from harness.execution.sweep import Progress
from harness.exporters.exposition import Family, render, unit_word
from harness.planning.plan import Plan, PlannedTrial
from harness.records.schema import Record
from harness.system.errors import ResourceError

ADDRESS = "127.0.0.1"
CLIENT_LIMIT_S = 5.0
"""A client that is not answered within so long, or says nothing for so long, is closed."""
MOST_CLIENTS = 16
"""At once; the descriptors belong to the sweep."""
_OWN_NAMES = frozenset({ADDRESS, "localhost"})
"""A web page that lets its own name stand for this address gets nothing."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SHOWN = ("throughput.", "iteration.mean", "energy.", "power.", "memory.peak", "latency.")
_KIB = 1024


class Board:
    """What the sweep has told, kept for whoever asks; written by one thread, read by another."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._last: dict[str, Record] = {}
        self._running: tuple[PlannedTrial, int, float] | None = None
        self._remaining_s = plan.estimated_s

    def started(self, trial: PlannedTrial, replica: int) -> None:
        """Note what runs now."""
        with self._lock:
            self._running = (trial, replica, time.monotonic())

    def finished(self, record: Record, remaining_s: float) -> None:
        """Take a replica's result."""
        with self._lock:
            self._running, self._remaining_s = None, remaining_s
            self._attempts[record.status] += 1
            self._last[record.trial_id] = record

    def families(self) -> Iterator[Family]:
        """Yield the sweep's metrics as they stand."""
        with self._lock:
            attempts, last = dict(self._attempts), list(self._last.values())
            running, remaining_s = self._running, self._remaining_s
        sweep = {"sweep": self._plan.sweep}
        planned = {"runnable": len(self._plan.runnable), "refused": len(self._plan.refused)}
        yield Family(
            "joulemark_sweep_trials",
            "Trials of the plan.",
            [({**sweep, "state": k}, n) for k, n in planned.items()],
        )
        yield Family(
            "joulemark_sweep_attempts",
            "Attempts of this run that have ended.",
            [({**sweep, "status": k}, n) for k, n in attempts.items()],
        )
        yield Family("joulemark_sweep_left_seconds", "Estimated time left.", [(sweep, remaining_s)])
        if running is not None:
            trial, replica, since = running
            labels = {**sweep, "trial": trial.label, "replica": str(replica)}
            text = "How long the replica that runs now has been running."
            yield Family("joulemark_running_seconds", text, [(labels, time.monotonic() - since)])
        yield from _last_metrics(sweep, last)


def _last_metrics(sweep: dict[str, str], records: list[Record]) -> Iterator[Family]:
    found: dict[str, Family] = {}
    for record in records:
        for m in record.metrics:
            if m.value is not None and m.id.startswith(_SHOWN):
                word = m.id.replace(".", "_")
                name = f"joulemark_last_{word.removesuffix('_' + unit_word(m.unit).partition('_')[0])}"
                family = found.setdefault(
                    m.id, Family(f"{name}_{unit_word(m.unit)}", f"Last replica: {m.id}")
                )
                family.samples.append(({**sweep, "trial": record.label}, m.value))
    yield from found.values()


def host_families(proc: Path = Path("/proc")) -> Iterator[Family]:
    """Yield the machine's load, memory and processor time as the kernel counts them."""
    try:
        load = float((proc / "loadavg").read_text().split()[0])
        lines = (proc / "meminfo").read_text().splitlines()
        jiffies = [int(word) for word in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return  # a kernel that does not tell
    memory = {
        key: int(rest.split()[0]) * _KIB for key, _, rest in (line.partition(":") for line in lines) if rest
    }
    yield Family("joulemark_host_load1", "Load average over a minute.", [({}, load)])
    for key, name in (("MemTotal", "total"), ("MemAvailable", "available")):
        if key in memory:
            family = f"joulemark_host_memory_{name}_bytes"
            yield Family(family, f"Memory of the machine: {name}.", [({}, memory[key])])
    modes = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    yield Family(
        "joulemark_host_cpu_jiffies",
        "Processor time since boot, all processors, in the kernel's ticks.",
        [({"mode": mode}, float(value)) for mode, value in zip(modes, jiffies, strict=True)],
    )


def gpu_families(read: Callable[[], dict[str, Any]] | None = None) -> Iterator[Family]:
    """Yield each GPU's temperature, clocks, memory and reasons for lower clocks; nothing without a driver."""
    from harness.energy.sensors.nvml_facts import gpu_facts

    gpus = (read or gpu_facts)().get("gpus") or []
    for key, name, text in (
        ("power_w", "power_watts", "Power draw."),
        ("temperature_c", "temperature_celsius", "Temperature."),
        ("memory_used_bytes", "memory_used_bytes", "Memory in use, of all processes."),
        ("power_limit_enforced_w", "power_limit_watts", "Enforced power limit."),
    ):
        family = Family(f"joulemark_gpu_{name}", text)
        for g in gpus:
            if g.get(key) is not None:
                family.samples.append(({"gpu": str(g["index"])}, float(g[key])))
        yield family
    clocks = Family("joulemark_gpu_clock_hertz", "Clock.")
    limited = Family(
        "joulemark_gpu_clock_limited", "1 for each reason that holds clocks below their maximum."
    )
    for g in gpus:
        gpu = str(g["index"])
        for kind, mhz in (g.get("clocks_mhz") or {}).items():
            clocks.samples.append(({"gpu": gpu, "clock": kind}, mhz * 1e6))
        for reason in g.get("clock_event_reasons") or []:
            limited.samples.append(({"gpu": gpu, "reason": reason}, 1.0))
    yield from (clocks, limited)


def _hang_up(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._free = threading.BoundedSemaphore(MOST_CLIENTS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, or hang up where too many are being answered."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for the next client; one that asks letter by letter has no longer."""
        late = threading.Timer(CLIENT_LIMIT_S, _hang_up, (request,))
        late.daemon = True
        late.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            late.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that hung up: the terminal is the sweep's."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class MonitoredProgress:
    """Tells the board what another progress is told, and serves the board while it is entered.

    Args:
        plan: of the sweep.
        inner: shows the sweep in the terminal.
        port: on the loopback address; 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, plan: Plan, inner: Progress, port: int) -> None:
        self._board = Board(plan)
        self._inner = inner
        board = self._board

        class Answer(BaseHTTPRequestHandler):
            """Answers `GET /metrics` of its own host alone, soon or not at all."""

            timeout = CLIENT_LIMIT_S

            def do_GET(self) -> None:
                if self.headers.get("Host", "").rpartition(":")[0] not in _OWN_NAMES:
                    self.send_error(421, "this is not that host")
                    return
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404, "there is /metrics")
                    return
                families = (*board.families(), *host_families(), *gpu_families())
                body = render(families).encode()
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing: the terminal is the sweep's."""

        try:
            self._server = _Server((ADDRESS, port), Answer)
        except OSError as error:
            raise ResourceError(
                f"run.monitor_port={port}: {error.strerror}; choose another, 0 takes a free one"
            ) from error
        self._closing = False
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._inner.note(f"live metrics: http://{ADDRESS}:{self.port}/metrics")
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        # A request of our own wakes the thread, which otherwise sleeps for ever.
        with contextlib.suppress(OSError):
            socket.create_connection((ADDRESS, self.port), timeout=1).close()
        self._thread.join(timeout=5)
        self._server.server_close()

    def _serve(self) -> None:
        while not self._closing:
            self._server.handle_request()

    def started(self, trial: PlannedTrial, replica: int) -> None:
        """Tell both."""
        self._board.started(trial, replica)
        self._inner.started(trial, replica)

    def tick(self) -> None:
        """Tell the inner one; the board needs no clock."""
        self._inner.tick()

    def finished(self, record: Record, remaining_s: float) -> None:
        """Tell both."""
        self._board.finished(record, remaining_s)
        self._inner.finished(record, remaining_s)

    def note(self, text: str) -> None:
        """Tell the inner one."""
        self._inner.note(text)
