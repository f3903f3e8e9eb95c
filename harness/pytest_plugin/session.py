"""What the tests of one pytest process share: settings, opened devices, identities and the store."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import pytest

from harness.config.models import MeasureConfig, PowerConfig
from harness.devices import registry
from harness.devices.base import Device
from harness.identity.machine import Identity, identify
from harness.isolation.workers import Workers
from harness.records.journal import Journal
from harness.records.schema import Record
from harness.records.store import Store, open_store
from harness.system.contention import Contention, is_contended
from harness.system.errors import JoulemarkError, ResourceError


def check_options(config: pytest.Config) -> None:
    """Check what is known wrong before a test has run.

    Raises:
        pytest.UsageError: no such sensor, a policy that is none, or a gate without records.
    """
    from harness.energy.sensors import registry as sensors
    from harness.gate.policy import read_policy

    power, gate = config.getoption("joulemark_power"), config.getoption("joulemark_gate")
    if gate and not config.getoption("joulemark_results"):
        raise pytest.UsageError("--joulemark-gate judges records: name their folder by --joulemark-results")
    try:
        if power != "auto":
            sensors.get(power)
        if gate:
            read_policy(config.invocation_params.dir / gate)
    except sensors.UnknownSensor as error:
        raise pytest.UsageError(f"--joulemark-power: {error}") from error
    except JoulemarkError as error:
        raise pytest.UsageError(f"--joulemark-gate: {error}") from error


class Session:
    """One pytest process; under pytest-xdist every worker has its own, and they share the sweep's name."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        worker = getattr(config, "workerinput", {})
        self.sweep: str = worker.get("joulemark_sweep") or f"pytest-{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z"
        self.worker: str | None = worker.get("workerid")
        self.measured = 0
        self.statistics_lost: str | None = None
        """Why pytest-benchmark kept no statistics of tests that were measured."""
        self._busy: list[Contention] = []
        self._devices: dict[str, Device] = {}
        self._verdict: list[str] = []

    def device(self, name: str) -> Device:
        """Return an opened device; skip the test when it cannot be used."""
        if name not in self._devices:
            try:
                device = registry.device(name)
            except (KeyError, ValueError):
                kinds = ", ".join(registry.kinds())
                pytest.fail(
                    f"no device {name!r}: it is one of auto, {kinds}, with an index after a colon",
                    pytrace=False,
                )
            reason = device.unavailable_reason(device.index)
            if reason is not None:
                pytest.skip(f"device {name}: {reason}")
            device.open()
            self._devices[name] = device
        return self._devices[name]

    @cached_property
    def identity(self) -> Identity:
        """This machine and this code."""
        return identify()

    @cached_property
    def measure(self) -> MeasureConfig:
        """The preset of `conf/measure`."""
        import yaml

        from harness.config.folder import config_folder

        preset = self._config.getoption("joulemark_preset")
        text = (config_folder() / "measure" / f"{preset}.yaml").read_text(encoding="utf-8")
        return MeasureConfig.model_validate(yaml.safe_load(text))

    @cached_property
    def power(self) -> PowerConfig:
        """The sensor that was asked for."""
        return PowerConfig(sensor=self._config.getoption("joulemark_power"))

    @property
    def folder(self) -> Path | None:
        """Where the user asked for records; a test may change the working folder, the path stays."""
        named = self._config.getoption("joulemark_results")
        return None if named is None else self._config.invocation_params.dir / named

    @cached_property
    def store(self) -> Store:
        """The results folder, or one that goes when the process ends."""
        if self.folder is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="joulemark-pytest-")
            # What goes at the end needs no place in the user's journal.
            return open_store(self._scratch.name, Journal(Path(self._scratch.name) / ".journal"))
        store = open_store(self.folder)
        try:
            store.check_writable()
        except ResourceError as error:
            pytest.exit(f"--joulemark-results: {error}", returncode=pytest.ExitCode.USAGE_ERROR)
        return store

    @cached_property
    def workers(self) -> Workers:
        """The worker processes in which workloads of the catalogue run."""
        workers = Workers()
        self._config.add_cleanup(workers.close)
        return workers

    def note_host(self, contention: Contention | None) -> None:
        """Take what others used of the host while a test measured."""
        if contention is not None and is_contended(contention.evidence()):
            self._busy.append(contention)

    def write(self, record: Record) -> None:
        """Keep a record where the user asked for records."""
        if self.folder is not None:
            self.store.write(record)

    def judge(self) -> int:
        """Judge this session's records against the earlier ones; return the gate's exit code."""
        from harness.exporters.common import write_json
        from harness.gate.history import VERDICT, read_history
        from harness.gate.policy import read_policy
        from harness.gate.verdict import judge_history

        try:
            policy = read_policy(
                self._config.invocation_params.dir / self._config.getoption("joulemark_gate")
            )
            history = read_history(self.store, pattern="pytest-*", tonight=self.sweep, accept=policy.accept)
        except JoulemarkError as error:
            self._verdict = [str(error)]
            return 2
        verdict = judge_history(history, policy)
        write_json(self.store.root / self.sweep / VERDICT, verdict.plain())
        self._verdict = verdict.lines()
        return verdict.exit_code

    def summary(self) -> list[str]:
        """Return what the user should know at the end, a line each."""
        lines = []
        if self._busy:
            most = max(seen.others_cpus or 0.0 for seen in self._busy)
            lines.append(
                f"the host was busy in {len(self._busy)} of {self.measured} measurements: others used up to "
                f"{most:.1f} of {self._busy[0].cpus} CPUs; close other work, or start pytest with "
                "OMP_WAIT_POLICY=passive so that waiting threads sleep"
            )
        if self.folder is not None and (self.folder / self.sweep).is_dir():
            lines.append(f"records of this session: {self.folder / self.sweep}")
        if self.statistics_lost is not None:
            lines.append(f"no statistics for {self.measured} measured tests: {self.statistics_lost}")
        if self._config.getoption("numprocesses", None) or self._config.getoption("tx", None):
            lines.append(
                "workers of pytest-xdist took turns on each device; pytest-benchmark keeps no statistics "
                "under it, " + ("the records do" if self.folder is not None else "use --joulemark-results")
            )
        return lines + self._verdict
