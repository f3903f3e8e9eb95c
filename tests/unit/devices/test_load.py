"""Loads that are switched on and off, for the probe of a sensor."""

from types import SimpleNamespace

from harness.devices import load


def test_a_load_in_a_thread_works_while_it_is_on_and_only_then():
    """The work repeats between on and off, and has ended when off returns."""
    done = []
    with load.busy_thread(lambda: done.append(1)) as switch:
        switch(True)
        while len(done) < 3:
            pass
        switch(False)
        count = len(done)
        assert count >= 3
    assert len(done) == count


def test_a_load_on_the_cpu_leaves_no_process_behind(monkeypatch):
    """Every spinning process is gone once the load is off."""
    started = []
    popen = load.subprocess.Popen

    def remember(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(load.subprocess, "Popen", remember)
    with load.busy_cpu() as switch:
        switch(True)
        assert all(process.poll() is None for process in started)
    assert started
    assert all(process.poll() is not None for process in started)


def test_the_load_is_on_the_device_that_the_sensor_meters(monkeypatch):
    """Packages are loaded by the CPU, a GPU by the number that CUDA gives its UUID, others not at all."""
    uuids = ["GPU-a", "GPU-b"]
    devices = lambda index: SimpleNamespace(hardware_id=lambda: uuids[index])
    devices.unavailable_reason = lambda index: None if index < 2 else "no device"
    monkeypatch.setattr(load, "CudaDevice", devices)
    assert [load.cuda_index(uuid) for uuid in ("GPU-b", "GPU-a", "GPU-c")] == [1, 0, None]
    for source, device in (("nvml", "GPU-c"), ("hwmon", "hwmon0:power1"), ("ipmi", "local")):
        with load.load_of(SimpleNamespace(source=source, device=device)) as switch:
            assert switch is None
    with load.load_of(SimpleNamespace(source="rapl", device="intel-rapl:0")) as switch:
        assert switch is not None
