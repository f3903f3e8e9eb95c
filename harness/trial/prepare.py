"""Open a trial's device on one rank, and make its workload ready to run there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness import timing
from harness.config import placement
from harness.config.models import Config
from harness.devices import registry as devices
from harness.devices.base import Device, Step
from harness.isolation.protocol import ReplicaSpec
from harness.serving import job as serving
from harness.system import native
from harness.trial import ranks
from workloads import registry as workloads
from workloads.base import SERVE, Size, Workload
from workloads.engine.setup import Chosen, Setup
from workloads.kernels import library
from workloads.optimize import allocator_environment
from workloads.parallel.base import Ranks
from workloads.user.source import source as own_model


def open_device(config: Config, spec: ReplicaSpec) -> tuple[Device, timing.Peers]:
    """Open this rank's device, and meet the other ranks."""
    os.environ.update(allocator_environment(config.optimize.wanted()))
    if config.parallel.name == "mesh":  # JAX reads it when it starts
        os.environ["JAX_NUM_CPU_DEVICES"] = str(config.parallel.settings["devices"])
    index = placement.device_index(config, spec.rank)
    kind = devices.get(config.device.kind).on(config.device.platform)
    device = kind(index, threads=placement.threads(config))
    device.open()
    return device, ranks.join(config, device, spec.rank)


def workload_of(config: Config, size: Size, mode: str | None = None) -> Workload:
    """Return the trial's workload, or the same work in another mode.

    Raises:
        ValueError: its data or the user's own model is not what the plan saw.
    """
    from workloads.inputs.sources import resolve_data

    w = config.workload
    data = None if w.data is None else resolve_data(w.data)
    own = own_model(w.factory, w.program, w.folder)
    # A model that does not take a batch's size brings its own, unless another one was asked for.
    more = {} if own is None else {"source": own.check(w.source_sha256), "exact": w.batch is not None}
    return workloads.get(w.name)(mode or w.mode, size, seed=config.seed, data=data, **more)


def prepare_job(
    config: Config,
    workload: Workload,
    device: Device,
    peers: timing.Peers,
    on_weights: Callable[[Any], None] | None = None,
    *,
    replica: int = 0,
) -> Any:
    """Return the `workloads.engine.job.PreparedWorkload` on this rank, its outputs held for the fence.

    `on_weights` is called with the model that has its first weights. Each `replica` that serves draws a load
    of its own, so that an interval over replicas holds what arrivals and lengths scatter by.
    """
    setup = replace(setup_of(config, device, peers), on_weights=on_weights)
    if workload.mode == SERVE:
        library.build_with(native.load)
        return serving.prepare(
            workload, setup, config.serve, seed=config.seed * 10_000 + replica, agree=peers.agree
        )
    if device.engine == "jax":
        from workloads.jax.job import prepare as prepare_jax

        job = prepare_jax(workload, setup, first_device=device.index)
    else:
        from workloads.engine.job import prepare

        library.build_with(native.load)
        job = prepare(workload, setup)
    if device.returns_outputs:
        job.step = _returning(job.step, job.outputs)
    job.step = device.held(job.step)
    return job


def _returning(step: Step, outputs: Callable[[], object]) -> Step:
    def launch(index: int, mark: Callable[[str], None]) -> object:
        step(index, mark)
        return outputs()

    return launch


def setup_of(config: Config, device: Device, peers: timing.Peers) -> Setup:
    """Return how the configuration wants its workload run on this rank."""
    w = config.workload
    return Setup(
        device=device.torch_device,
        precision=config.precision.name,
        optimizer=w.optimizer,
        lr=w.lr,
        accumulate=w.accumulate,
        temperature=w.temperature,
        top_k=w.top_k,
        optimize=config.optimize.wanted(),
        compress=Chosen(config.compress.name, config.compress.settings),
        parallel=Chosen(config.parallel.name, config.parallel.settings),
        ranks=Ranks(peers.rank, peers.world),
    )
