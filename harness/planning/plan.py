"""From overrides to a plan: every trial with its identity, or why it is refused. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from harness.config.compose import Composed, Composer, split_searchpath
from harness.config.errors import ConfigError
from harness.config.models import CompressConfig, Config, DeviceConfig, ParallelConfig, RunConfig
from harness.config.validate import validate
from harness.devices import registry as devices
from harness.energy.sensors import registry as sensors
from harness.identity.libraries import Libraries, libraries
from harness.identity.machine import Identity
from harness.identity.trial import recorded_trial_id, work_id
from harness.planning import labels, private, serving
from harness.planning.refusals import refusal
from workloads import registry as workloads
from workloads.base import Size, WorkloadSpec
from workloads.compress.registry import COMPRESSORS
from workloads.inputs import sources
from workloads.parallel.base import Ranks
from workloads.parallel.registry import STRATEGIES
from workloads.plugins import Registry, nearest
from workloads.sizes import resolve_size
from workloads.transform import NONE, Transform, resolve_settings
from workloads.user.source import source as own_model

_Kind = TypeVar("_Kind", bound=Transform)
_Transformed = TypeVar("_Transformed", CompressConfig, ParallelConfig)

_START_S = 0.5
"""What starting and building a replica is assumed to take when a sweep's time is estimated."""


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One configuration of the sweep, ready to run or refused."""

    label: str
    config: Config
    size: Size
    work_id: str
    trial_id: str
    overrides: tuple[str, ...]
    refusal: str | None = None
    data_digest: str | None = None
    """Of the real data's contents; None for synthetic data."""
    libraries: Libraries = field(default_factory=dict)
    """What it uses beside torch, with versions: part of the identity of the code that measures it."""
    external_config: Mapping[str, Any] | None = None
    """The configuration in the words of another version of this code, where that plans and runs the trial."""

    @property
    def payload(self) -> dict[str, Any]:
        """The configuration as plain data, as workers get it."""
        return (
            self.config.model_dump(mode="json")
            if self.external_config is None
            else dict(self.external_config)
        )

    @property
    def recorded(self) -> dict[str, Any]:
        """The configuration as records keep it, with the overrides that asked for it."""
        payload = self.payload
        words = private.kept_words(self.overrides, private.shown(payload))
        return private.recorded(payload) | {"overrides": words}

    @property
    def replica_s(self) -> float:
        """Foretold seconds of one replica: at the least its warm-up and its measured time."""
        m = self.config.measure
        return _START_S + m.warmup_s + 2 * m.steady_window_s + m.seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep: its name, its trials in the order of their configuration, and how they were asked for."""

    sweep: str
    trials: tuple[PlannedTrial, ...]
    overrides: tuple[str, ...]

    @property
    def runnable(self) -> tuple[PlannedTrial, ...]:
        """The trials that are not refused."""
        return tuple(t for t in self.trials if t.refusal is None)

    @property
    def refused(self) -> tuple[PlannedTrial, ...]:
        """The trials that cannot work, each with its reason."""
        return tuple(t for t in self.trials if t.refusal is not None)

    @property
    def estimated_s(self) -> float:
        """The least time that the sweep takes, in seconds."""
        return sum(t.replica_s * t.config.measure.replicas for t in self.runnable)


def make_plan(overrides: Sequence[str], *, user_folders: Sequence[Path] = ()) -> Plan:
    """Compose, validate and identify every trial that the overrides ask for.

    Raises:
        ConfigError: bad input, in one line, before anything has started.
    """
    named, rest = split_searchpath(overrides)
    with Composer([*user_folders, *named]) as composer:
        jobs = composer.jobs(rest)
    planned = [_plan_trial(job.config, job.overrides) for job in jobs]
    if not planned:
        raise ConfigError(
            "the overrides leave no trial: no cell of the experiment has all the values asked for"
        )
    serving.check_used(trial.config for trial in planned)
    sweep = _sweep_name(planned, overrides)
    distinct = list({trial.trial_id: trial for trial in reversed(planned)}.values())[::-1]
    names = labels.told_apart([trial.config for trial in distinct])
    trials = tuple(
        replace(trial, label=private.hide(name, private.shown(trial.payload)))
        for trial, name in zip(distinct, names, strict=True)
    )
    return Plan(sweep, trials, tuple(overrides))


def _plan_trial(composed: Composed, overrides: tuple[str, ...]) -> PlannedTrial:
    config = validate(composed)
    spec = _spec(config.workload.name)
    config = config.model_copy(
        update={
            "device": (device := _with_platform(config.device)),
            "run": _with_worker(config.run, device),
            "workload": config.workload.model_copy(update=_training_defaults(config, spec)),
            "compress": _with_settings("compress", config.compress, COMPRESSORS),
            "parallel": _with_settings("parallel", config.parallel, STRATEGIES),
        }
    )
    _check_sensor(config.power.sensor)
    try:
        serving.check_server(config)
        config = _with_source(config)
        size = _scaled(resolve_size(spec, config.workload.size, _size_overrides(config)), config)
        config = serving.resolved(config, size)
        refused = refusal(config, spec, size)
        digest = _data_digest(config.workload.data)
        if refused is None:
            # Its sizes must fit one another; constructing it builds nothing.
            data = None if config.workload.data is None else sources.resolve_data(config.workload.data)
            workloads.get(spec.name)(config.workload.mode, size, seed=config.seed, data=data)
    except ConfigError:
        raise
    except (ValueError, OSError) as error:
        raise ConfigError(f"workload {spec.name}: {error}") from error
    work = work_id(config, size, digest)
    kept = private.recorded(config.model_dump(mode="json"))
    return PlannedTrial(
        label=labels.label(config),
        config=config,
        size=size,
        work_id=work,
        trial_id=recorded_trial_id(work, kept),
        overrides=overrides,
        refusal=refused,
        data_digest=digest,
        libraries=libraries(config),
    )


def variant(trial: PlannedTrial, update: Mapping[str, Any], overrides: Sequence[str]) -> PlannedTrial:
    """Return the trial with parts of its configuration replaced, under the identity that it then has.

    Args:
        trial: a trial of a plan.
        update: by section or key of `Config`.
        overrides: the same in the command line's words.
    """
    config = trial.config.model_copy(update=dict(update))
    work = work_id(config, trial.size, trial.data_digest)
    return replace(
        trial,
        config=config,
        work_id=work,
        trial_id=recorded_trial_id(work, private.recorded(config.model_dump(mode="json"))),
        overrides=(*trial.overrides, *overrides),
    )


def _with_platform(device: DeviceConfig) -> DeviceConfig:
    """Write the kind that `auto` stands for, and the platform of one that has several."""
    kind = devices.resolve_kind(device.kind)
    platform = "cpu" if kind == "xla" and device.platform is None else device.platform
    return device.model_copy(update={"kind": kind, "platform": platform})


def _with_worker(run: RunConfig, device: DeviceConfig) -> RunConfig:
    """Start an interpreter for each replica on a device that a forked process cannot use."""
    forks = device.kind not in devices.kinds() or devices.get(device.kind).forks
    return run if forks else run.model_copy(update={"worker": "exec"})


@cache
def _spec(name: str) -> WorkloadSpec:
    try:
        return workloads.get(name).spec
    except KeyError:
        broken = workloads.broken()
        if name in broken:
            raise ConfigError(f"workload.name={name}: the plugin did not load: {broken[name]}") from None
        hint = nearest(name, workloads.names(), "see `joulemark list workloads`")
        raise ConfigError(f"workload.name={name}: no such workload{hint}") from None


@cache
def _check_sensor(name: str) -> None:
    try:
        if name != "auto":
            sensors.get(name)
    except sensors.UnknownSensor as error:
        raise ConfigError(f"power.sensor={name}: {error}") from None


@cache
def _data_digest(data: str | None) -> str | None:
    return None if data is None else sources.digest(sources.resolve_data(data))


def _training_defaults(config: Config, spec: WorkloadSpec) -> dict[str, Any]:
    """Write the workload's own optimizer and rate into the configuration, where they are part of the work."""
    if config.workload.mode not in ("train", "finetune"):
        return {"optimizer": None, "lr": None}
    return {key: getattr(config.workload, key) or spec.train.get(key) for key in ("optimizer", "lr")}


def _with_settings(group: str, section: _Transformed, registry: Registry[type[_Kind]]) -> _Transformed:
    """Return the section with every setting that its compressor or strategy has.

    Raises:
        ConfigError: no such compressor or strategy, or a setting that it does not take.
    """
    if section.name == NONE:
        if section.settings:
            raise ConfigError(f"{group}.settings: {group} none has no settings")
        return section
    try:
        kind = registry.get(section.name)
    except KeyError:
        if section.name in registry.broken():
            why = registry.broken()[section.name]
            raise ConfigError(f"{group}.name={section.name}: the plugin did not load: {why}") from None
        hint = nearest(section.name, [NONE, *registry.names()])
        raise ConfigError(f"{group}.name={section.name}: there is no such one{hint}") from None
    try:
        settings = resolve_settings(kind.spec, section.settings)
    except ValueError as error:
        raise ConfigError(f"{group}.settings: {error}") from error
    return section.model_copy(update={"settings": settings})


def _with_source(config: Config) -> Config:
    """Write the digest of the user's own model into the configuration.

    Raises:
        ValueError: nothing is there, it is not what was asked for, or the workload takes none.
        OSError: it cannot be read.
    """
    w = config.workload
    named = own_model(w.factory, w.program, w.folder)
    if (named is None) == (w.name == "user"):
        keys = "workload.factory, workload.program or workload.folder"
        raise ConfigError(f"workload=user needs {keys}" if named is None else f"{keys} needs workload=user")
    if named is None:
        return config
    found = named.digest()
    if w.source_sha256 not in (None, found):
        raise ConfigError(f"workload.source_sha256: {w.source_sha256} was asked for, {found} is there")
    return config.model_copy(update={"workload": w.model_copy(update={"source_sha256": found})})


def _size_overrides(config: Config) -> dict[str, Any]:
    w = config.workload
    named = {"batch": w.batch, "seq": w.seq, "new_tokens": w.new_tokens}
    return {**w.shape, **{key: value for key, value in named.items() if value is not None}}


def _scaled(size: Size, config: Config) -> Size:
    """Return the size with the batch of all shares, where each is to have the one that was asked for."""
    parallel = config.parallel
    if parallel.scaling == "strong" or parallel.name == NONE:
        return size
    strategy = STRATEGIES.get(parallel.name)(parallel.settings, Ranks(0, parallel.ranks))
    return {**size, "batch": int(size["batch"]) * strategy.shard[1]}


def _sweep_name(trials: Sequence[PlannedTrial], overrides: Sequence[str]) -> str:
    names = {t.config.run.name for t in trials}
    if len(names) > 1:
        raise ConfigError(f"run.name: one sweep has one name, not {', '.join(sorted(map(str, names)))}")
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if key == "experiment" and names == {None}:
            return value
    return names.pop() or "+".join(dict.fromkeys(t.config.workload.name for t in trials))[:60]


def code_ids(trials: Sequence[PlannedTrial], identity: Identity) -> dict[str, str]:
    """Return by trial the identity of the code that measures it here."""
    return {t.trial_id: identity.using(t.libraries).code_id for t in trials}


def planned_replicas(trial: PlannedTrial) -> int:
    """Return how many replicas a trial is to have before its pilot has run."""
    return trial.config.measure.replicas


def plan_payload(
    plan: Plan, identity: Identity, wanted: Callable[[PlannedTrial], int] = planned_replicas
) -> dict[str, Any]:
    """Return the plan as plain data, as it is kept beside the records, with the replicas wanted by now."""
    shown = {text: kept for t in plan.trials for text, kept in private.shown(t.payload).items()}
    return {
        "sweep": plan.sweep,
        "overrides": private.kept_words(plan.overrides, shown),
        "machine_id": identity.machine_id,
        "code_id": identity.code_id,
        "estimated_s": plan.estimated_s,
        "trials": [
            {
                "label": t.label,
                "work_id": t.work_id,
                "trial_id": t.trial_id,
                "code_id": identity.using(t.libraries).code_id,
                "refusal": t.refusal,
                "replicas": wanted(t),
                "overrides": t.recorded["overrides"],
            }
            for t in plan.trials
        ],
    }
