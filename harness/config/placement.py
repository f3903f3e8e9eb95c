"""Where the ranks of a trial run: devices and threads, from the configuration alone."""

from __future__ import annotations

from harness.config.models import Config
from harness.system import host
from workloads.parallel.registry import STRATEGIES
from workloads.transform import NONE


def shares_device(config: Config) -> bool:
    """Return whether all ranks of a trial run on one device."""
    name = config.parallel.name
    return config.device.hardware == "cpu" or (name != NONE and STRATEGIES.get(name).spec.shares_device)


def device_index(config: Config, rank: int) -> int:
    """Return the index of a rank's device."""
    return config.device.index + (0 if shares_device(config) else rank % ranks_of_node(config))


def ranks_of_node(config: Config) -> int:
    """Return how many ranks of a trial run on each of its nodes."""
    return config.parallel.ranks // config.parallel.nodes


def device_names(config: Config) -> list[str]:
    """Return a trial's devices on each of its nodes, in the order of their indices, e.g. `cuda-0`."""
    indices = sorted({device_index(config, rank) for rank in range(config.parallel.ranks)})
    return [f"{config.device.hardware}-{index}" for index in indices]


def threads(config: Config) -> int | None:
    """Return the CPU threads of a rank: its share of the cores, at least one, where none were asked for."""
    if config.device.threads is not None or config.parallel.ranks == 1:
        return config.device.threads
    return max(1, host.usable_cores() // ranks_of_node(config))
