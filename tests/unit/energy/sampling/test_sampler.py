"""The two samplers: rings, deadlines, errors and what is left when the parent dies."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from struct import unpack_from

import pytest

from harness.energy.sampling import thread
from harness.energy.sampling.process import ProcessSampler
from harness.energy.sampling.thread import NativeSampler, NoNativeSampler
from harness.energy.sampling.trace import ROW
from harness.energy.sensors.base import NativeRead, SensorError
from harness.energy.sensors.rapl import RaplMeter

MS = 10**6


@pytest.fixture
def domain(tmp_path):
    """One RAPL domain of files."""
    folder = tmp_path / "intel-rapl:0"
    folder.mkdir()
    for name, text in {"name": "package-0", "energy_uj": "2000000", "max_energy_range_uj": "9000000"}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def cache(standin_cache, monkeypatch):
    """Compile into the tests' own cache."""
    thread.load.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(standin_cache))
    yield standin_cache
    thread.load.cache_clear()


def started(kind, domain, capacity, period_ns=MS):
    """Start either sampler on the domain."""
    meter = RaplMeter.open(str(domain))
    if kind == "process":
        return ProcessSampler([(meter, meter.sensors[0])], period_ns, capacity)
    return NativeSampler([meter.native(meter.sensors[0])], period_ns, capacity)


def written(sampler) -> int:
    """Return how many rows the sampler has written."""
    if isinstance(sampler, ProcessSampler):
        return unpack_from("=Q", sampler._memory)[0]
    return sampler._lib.sampler_written(sampler._sampler)


@pytest.mark.parametrize("kind", ["native", "process"])
def test_a_full_ring_keeps_the_newest_rows_in_order_and_counts_the_lost(cache, domain, kind):
    """Seven rows of room and more reads: the last seven stay, and the rest are counted."""
    sampler = started(kind, domain, capacity=7)
    assert sampler.wait_first(20)
    while written(sampler) < 20:
        time.sleep(0.002)
    rows, lost = sampler.stop()
    times = [row[0] for row in ROW.iter_unpack(rows)]
    assert len(times) == 7
    assert times == sorted(times)
    assert lost >= 13


@pytest.mark.parametrize("kind", ["native", "process"])
def test_reads_fall_on_absolute_deadlines(cache, domain, kind):
    """Time between two reads is a whole number of periods, up to wake-up delay, and never less than one."""
    sampler = started(kind, domain, 1000, period_ns=20 * MS)
    assert sampler.wait_first(20)
    while written(sampler) < 10:
        time.sleep(0.01)
    rows, _ = sampler.stop()
    times = [row[0] for row in ROW.iter_unpack(rows)]
    assert times[-1] - times[0] >= (len(times) - 1) * 20 * MS - 20 * MS


@pytest.mark.parametrize("kind", ["native", "process"])
def test_a_read_that_fails_is_a_row_with_its_status(cache, domain, kind):
    """Garbage in the file: error rows, and the sampler goes on when it recovers."""
    sampler = started(kind, domain, 1 << 16)
    assert sampler.wait_first(20)
    (domain / "energy_uj").write_text("garbage")
    mark = written(sampler)
    while written(sampler) < mark + 5:
        time.sleep(0.002)
    (domain / "energy_uj").write_text("3000000")
    mark = written(sampler)
    while written(sampler) < mark + 5:
        time.sleep(0.002)
    rows, _ = sampler.stop()
    unpacked = list(ROW.iter_unpack(rows))
    assert any(status != 0 and value == 0.0 for *_, value, _, status in unpacked)
    assert unpacked[-1][2:] == (pytest.approx(3.0), 0, 0)


def test_a_missing_file_is_the_operating_systems_error(cache):
    """The native status is the negative errno."""
    sampler = NativeSampler([NativeRead(op=1, scale=1.0, path="/no/such/file")], MS, 10)
    assert sampler.wait_first(20)
    rows, _ = sampler.stop()
    assert next(ROW.iter_unpack(rows))[4] == -errno.ENOENT


@pytest.mark.parametrize("break_it", ["no compiler", "broken compiler", "cache not writable"])
def test_where_it_cannot_be_built_the_reason_is_said(tmp_path, monkeypatch, break_it):
    """Without the native sampler there is one line that says why."""
    thread.load.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if break_it == "no compiler":
        monkeypatch.setenv("CC", "no-such-compiler")
    elif break_it == "broken compiler":
        monkeypatch.setenv("CC", "false")
    else:
        (tmp_path / "joulemark").write_text("a file where the folder should be")
    with pytest.raises(NoNativeSampler, match=r"no C compiler|cannot build"):
        thread.load()
    thread.load.cache_clear()


def test_a_sampler_process_that_cannot_open_its_sensor_says_why(domain):
    """The child's reason arrives in the parent."""
    meter = RaplMeter.open(str(domain))
    (domain / "name").unlink()
    sampler = ProcessSampler([(meter, meter.sensors[0])], MS, 10)
    with pytest.raises(SensorError, match=r"^sampler process: RAPL domain .* not one that is metered"):
        sampler.wait_first(20)


def test_a_sampler_process_ends_with_its_parent(domain):
    """A parent that leaves without a word leaves no sampler behind."""
    code = f"""
import os
from harness.energy.sensors.rapl import RaplMeter
from harness.energy.sampling.process import ProcessSampler
meter = RaplMeter.open({str(domain)!r})
sampler = ProcessSampler([(meter, meter.sensors[0])], 1000000, 10)
sampler.wait_first(20)
print(sampler._child.pid, flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    child = int(done.stdout)
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        try:
            os.kill(child, 0)
            with open(f"/proc/{child}/stat") as stat:  # noqa: PTH123 - may vanish while it is read
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.01)
    pytest.fail(f"the sampler process {child} lives on")
