"""The pytest plugin: device time, energy and memory beside your tests, in pytest-benchmark's own files.

pytest loads it wherever Joulemark is installed, so that it imports nothing of the harness before a test uses
it. A test takes the fixture `device_benchmark`, or names a workload of the catalogue by the marker
`joulemark`; `docs/pytest.md` shows both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.pytest_plugin.marker import NAME, marker_error, marker_options

if TYPE_CHECKING:
    from harness.devices.base import Device
    from harness.pytest_plugin.fixture import DeviceBenchmark
    from harness.pytest_plugin.session import Session
    from harness.timing.clocks import Clock

FIXTURE = "device_benchmark"
PRESETS = ("quick", "demo", "default", "rigorous")
_SESSION = pytest.StashKey["Session"]()
_MARKER = (
    "joulemark(workload, mode, size, precision, device, overrides): measure a workload of the catalogue, and "
    "then run the test's body; or name the device of a device_benchmark test"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("joulemark", "device time and energy")
    group.addoption(
        "--joulemark-preset", choices=PRESETS, default="quick", help="how long to measure (default: quick)"
    )
    group.addoption(
        "--joulemark-device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1 or auto (default: auto)"
    )
    group.addoption(
        "--joulemark-power", default="auto", metavar="SENSOR", help="auto, none or a sensor (default: auto)"
    )
    group.addoption(
        "--joulemark-results", metavar="DIR", help="also write Joulemark's records into this folder"
    )
    group.addoption(
        "--joulemark-gate",
        metavar="POLICY",
        help="judge this session against the earlier ones in --joulemark-results, by this policy file",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and refuse wrong options before anything runs."""
    config.addinivalue_line("markers", _MARKER)
    if config.getoption("joulemark_gate") or config.getoption("joulemark_power") != "auto":
        from harness.pytest_plugin.session import check_options

        check_options(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Turn marked tests into benchmarks, and let pytest-benchmark keep the time that devices take."""
    keeps = config.pluginmanager.hasplugin("benchmark")
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        names = item.fixturenames
        if "workload" in marker_options(item) and FIXTURE not in names:
            names.append(FIXTURE)
        if FIXTURE in names and keeps:
            from harness.pytest_plugin.virtual import use_device_time

            if "benchmark" not in names:  # so that --benchmark-only and --benchmark-skip see it as one
                names.append("benchmark")
            use_device_time(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose marker is wrong, before anything is opened for it."""
    if (wrong := marker_error(item)) is not None:
        pytest.fail(f"{NAME} marker: {wrong}", pytrace=False)


@pytest.fixture
def joulemark_clock() -> Clock:
    """Return the host's clocks; a conftest may override it to script time."""
    from harness.timing.clocks import HostClock

    return HostClock()


@pytest.fixture
def joulemark_device(request: pytest.FixtureRequest) -> Device:
    """Return the opened device of the test; skip the test where there is none, and say why."""
    named = marker_options(request.node).get("device") or request.config.getoption("joulemark_device")
    return _session(request.config).device(named)


@pytest.fixture
def device_benchmark(
    request: pytest.FixtureRequest, joulemark_device: Device, joulemark_clock: Clock
) -> DeviceBenchmark:
    """Measure a function: `device_benchmark(fn, *args, items=64, unit="samples")` returns what `fn` does."""
    from harness.pytest_plugin.fixture import DeviceBenchmark

    return DeviceBenchmark(request, _session(request.config), joulemark_device, joulemark_clock)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Measure the workload that the marker names, before the test's body runs."""
    found = marker_options(pyfuncitem)
    if "workload" in found:
        measuring: Any = pyfuncitem.funcargs[FIXTURE]
        measuring.workload(**found)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Let the workers of pytest-xdist write into the controller's sweep."""
    node.workerinput["joulemark_sweep"] = _session(node.config).sweep


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Judge the session by the policy; a verdict other than a pass is the session's exit status."""
    config = session.config
    if config.getoption("joulemark_gate") and not hasattr(config, "workerinput"):
        code = _session(config).judge()
        if code and session.exitstatus in {0, pytest.ExitCode.OK}:
            session.exitstatus = code


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say where the records are, what was not kept, and the gate's verdict."""
    state = config.stash.get(_SESSION, None)
    if state is not None and (lines := state.summary()):
        terminalreporter.section("joulemark")
        for line in lines:
            terminalreporter.write_line(line)


def _session(config: pytest.Config) -> Session:
    """Return what the tests of this process share, made when the first of them asks."""
    if _SESSION not in config.stash:
        from harness.pytest_plugin.session import Session

        config.stash[_SESSION] = Session(config)
    return config.stash[_SESSION]
