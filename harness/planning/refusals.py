"""Combinations that cannot work, refused with the reason before anything runs."""

from __future__ import annotations

from functools import cache

from harness.config import placement
from harness.config.errors import ConfigError
from harness.config.models import Config
from harness.devices import registry as devices
from harness.system.allocation import allocation
from workloads import compatibility
from workloads.base import MODES, SERVE, TRAINING, Size, WorkloadSpec
from workloads.inputs import sources
from workloads.plugins import nearest
from workloads.transform import NONE, Cell


def refusal(config: Config, spec: WorkloadSpec, size: Size) -> str | None:
    """Return why this combination cannot work, or None when it can.

    Raises:
        ConfigError: a mode that no workload has.
    """
    w = config.workload
    if w.mode not in MODES:
        raise ConfigError(f"workload.mode={w.mode}: no such mode{nearest(w.mode, MODES)}")
    cell = Cell(
        workload=spec,
        mode=w.mode,
        size=size,
        precision=config.precision.name,
        optimize=config.optimize.wanted(),
        compress=config.compress.name,
        compress_settings=config.compress.settings,
        parallel=config.parallel.name,
        parallel_settings=config.parallel.settings,
        ranks=config.parallel.ranks,
        accumulate=w.accumulate,
        optimizer=w.optimizer,
        device=config.device.kind,
    )
    if (reason := compatibility.refusal(cell)) is not None:
        return reason
    if w.mode == SERVE and config.serve.engines > 1 and config.parallel.name != NONE:
        return "several engines serve in one process, each with the whole model: parallel=none"
    if w.program is not None and w.mode == "train":
        return "a saved program runs forward only"
    if w.data is not None and (kind := sources.kind(sources.resolve_data(w.data))) not in spec.data:
        return f"{spec.name} reads {' or '.join(spec.data) or 'no real data'}, and workload.data is {kind}"
    if config.power.phases and config.device.kind == "xla" and w.mode in TRAINING:
        return "power.phases runs the forward pass alone, which XLA has in one program with the backward pass"
    if (reason := _nodes_refusal(config)) is not None:
        return reason
    if config.run.on != "local":
        return None  # the nodes know what they have
    last = placement.device_index(config, placement.ranks_of_node(config) - 1)
    return _device_refusal(config.device.kind, config.device.platform, last)


def _nodes_refusal(config: Config) -> str | None:
    parallel = config.parallel
    if parallel.nodes == 1:
        return None
    if parallel.ranks % parallel.nodes:
        return f"{parallel.ranks} ranks are not spread evenly over {parallel.nodes} nodes"
    if config.power.sensor != "none":
        return "power.sensor: rank 0 meters its own node alone; trials on several nodes take power=none"
    if config.run.on == "local" and parallel.nodes > allocation().nodes:
        return f"{parallel.nodes} nodes: a trial on several runs in an allocation of them, by run.on=slurm"
    return None


@cache
def _device_refusal(kind: str, platform: str | None, index: int) -> str | None:
    try:
        device = devices.get(kind).on(platform)
    except KeyError:
        hint = nearest(kind, devices.kinds())
        raise ConfigError(f"device.kind={kind}: no such device{hint}") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    reason = device.unavailable_reason(index)
    return None if reason is None else f"device {kind}:{index} is not available: {reason}"
