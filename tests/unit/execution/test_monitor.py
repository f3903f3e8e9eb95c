"""The live view: what a scrape says before, during and after a replica, and where it listens."""

from __future__ import annotations

import json
import re
import socket
import struct
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.execution import monitor
from harness.execution.monitor import Board, MonitoredProgress, gpu_families, host_families
from harness.exporters.exposition import render
from harness.planning.plan import make_plan
from harness.records.metrics import make
from harness.records.schema import Record

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana.json"


class Quiet:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def started(self, trial, replica) -> None:
        """Keep the start."""
        self.told.append("started")

    def tick(self) -> None:
        """Keep the tick."""
        self.told.append("tick")

    def finished(self, record, remaining_s) -> None:
        """Keep the end."""
        self.told.append("finished")

    def note(self, text: str) -> None:
        """Keep the text."""
        self.told.append(text)


@pytest.fixture
def plan():
    """Return a plan of one trial."""
    return make_plan(["workload=noop", "device=cpu", "run.name=live"])


def _record(plan, **fields) -> Record:
    (trial,) = plan.trials
    filled = {
        "sweep": plan.sweep,
        "label": trial.label,
        "work_id": trial.work_id,
        "trial_id": trial.trial_id,
        "machine_id": "c" * 32,
        "code_id": "d" * 32,
        "replica": 0,
        "attempt": 0,
        "status": "ok",
        "phase": "done",
        "started_at": "2026-01-01T00:00:00Z",
        "worker": {"kind": "warm"},
        "config": {},
        "machine": {},
        "code": {},
        "metrics": (make("throughput.samples", 12.5), make("energy.sample", None, reason="no sensor")),
    }
    return Record(**(filled | fields))


def _scrape(port: int) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    return {f.name: f.samples for f in text_string_to_metric_families(text)}


def test_a_scrape_follows_the_sweep(plan) -> None:
    """Running, then done: counts, the last value, no value that is missing; the terminal is told the same."""
    inner = Quiet()
    (trial,) = plan.trials
    with MonitoredProgress(plan, inner, 0) as shown:
        before = _scrape(shown.port)
        assert "joulemark_running_seconds" not in before
        shown.started(trial, 3)
        (running,) = _scrape(shown.port)["joulemark_running_seconds"]
        assert running.labels == {"sweep": "live", "trial": trial.label, "replica": "3"}
        shown.tick()
        shown.finished(_record(plan), 7.5)
        shown.finished(_record(plan, status="oom", metrics=()), 0.0)
        after = _scrape(shown.port)
    assert "joulemark_running_seconds" not in after
    assert {s.labels["status"]: s.value for s in after["joulemark_sweep_attempts"]} == {"ok": 1.0, "oom": 1.0}
    assert after["joulemark_sweep_left_seconds"][0].value == 0.0
    assert not any("energy" in name for name in after)
    assert inner.told[1:] == ["started", "tick", "finished", "finished"]


def test_it_listens_on_the_loopback_address_alone_and_ends_with_the_sweep(plan) -> None:
    """Another path is not found; afterwards nothing listens and nothing waits."""
    with MonitoredProgress(plan, Quiet(), 0) as shown:
        assert shown._server.server_address[0] == "127.0.0.1"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{shown.port}/", timeout=10)
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{shown.port}/metrics", timeout=10)
    assert not shown._thread.is_alive()


def test_a_client_that_hangs_up_or_asks_with_a_query_disturbs_nothing(plan, capfd) -> None:
    """A reset connection prints nothing into the sweep's terminal, and the next scrape is answered."""
    with MonitoredProgress(plan, Quiet(), 0) as shown:
        with socket.create_connection(("127.0.0.1", shown.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"GET /metr")
        url = f"http://127.0.0.1:{shown.port}/metrics?collect=all"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"joulemark_sweep_trials" in answer.read()
    assert capfd.readouterr().err == ""


def test_a_client_that_asks_letter_by_letter_is_closed(plan, monkeypatch) -> None:
    """None of its pauses is long; sixteen of it would keep everybody else out."""
    monkeypatch.setattr(monitor, "CLIENT_LIMIT_S", 0.2)
    with (
        MonitoredProgress(plan, Quiet(), 0) as shown,
        socket.create_connection((monitor.ADDRESS, shown.port)) as client,
    ):
        client.settimeout(0.02)
        for _ in range(1000):
            try:
                client.send(b"G")
                assert client.recv(1) == b""
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("it was never closed")


def test_a_port_that_is_taken_is_told_in_one_line(plan) -> None:
    """The line names the key and says what to do."""
    with (
        MonitoredProgress(plan, Quiet(), 0) as shown,
        pytest.raises(OSError, match=rf"run\.monitor_port={shown.port}: .*choose another"),
    ):
        MonitoredProgress(plan, Quiet(), shown.port)


def test_the_machine_is_read_as_the_kernel_tells_it(tmp_path: Path) -> None:
    """Memory in bytes, load, ticks by mode; nothing where the kernel tells nothing."""
    (tmp_path / "loadavg").write_text("1.25 0.5 0.1 1/100 7\n")
    (tmp_path / "meminfo").write_text("MemTotal:  2048 kB\nMemAvailable: 1024 kB\n")
    (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 8 9 10\n")
    found = {f.name: f.samples for f in host_families(tmp_path)}
    assert found["joulemark_host_load1"] == [({}, 1.25)]
    assert found["joulemark_host_memory_available_bytes"] == [({}, 2**20)]
    assert found["joulemark_host_cpu_jiffies"][-1] == ({"mode": "steal"}, 8.0)
    assert list(host_families(tmp_path / "nowhere")) == []


def test_gpus_are_told_with_what_they_do_not_tell_left_out() -> None:
    """A GPU without a temperature has no such sample; clocks are in hertz."""
    gpus = [
        {
            "index": 0,
            "temperature_c": 61,
            "clocks_mhz": {"sm": 1500},
            "clock_event_reasons": ["software_power_cap"],
        },
        {"index": 1, "temperature_c": None},
    ]
    text = render(gpu_families(lambda: {"gpus": gpus}))
    assert 'joulemark_gpu_temperature_celsius{gpu="0"} 61.0' in text
    assert 'gpu="1"' not in text
    assert 'joulemark_gpu_clock_hertz{gpu="0",clock="sm"} 1500000000.0' in text
    assert render(gpu_families(lambda: {"gpus": []})) == ""


def test_the_dashboard_asks_only_for_metrics_that_there_are(plan) -> None:
    """Every name in a panel's query is one that a scrape of a machine with a GPU gives."""
    everything = dict.fromkeys(("power_w", "temperature_c", "memory_used_bytes", "power_limit_enforced_w"), 1)
    gpu = {"index": 0, "clocks_mhz": {"sm": 1}, "clock_event_reasons": ["idle"], **everything}
    board = Board(plan)
    board.finished(_record(plan, metrics=(make("throughput.samples", 1.0), make("energy.sample", 1.0))), 0.0)
    board.started(plan.trials[0], 0)
    families = (*board.families(), *host_families(), *gpu_families(lambda: {"gpus": [gpu]}))
    known = {f.name for f in families if f.samples}
    wanted = {
        name
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
        for name in re.findall(r"joulemark_[a-z0-9_]+", target["expr"])
    }
    assert len(wanted) > 10
    assert all(any(k.startswith(name) for k in known) for name in wanted), wanted - known
