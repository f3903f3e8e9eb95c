"""A rank meets the others when its device is open, and its allocator is told before."""

from __future__ import annotations

import os

import pytest
import torch.distributed as dist

from harness.config.compose import Composer
from harness.config.models import Config
from harness.config.validate import validate
from harness.devices import registry as devices
from harness.devices.base import Device
from harness.isolation.protocol import ReplicaSpec
from harness.trial import prepare

VARIABLE = "PYTORCH_ALLOC_CONF"


class Noted(Device):
    """A device that notes what was done to it, and with which allocator."""

    kind = "cuda"
    done: list[object]

    @property
    def torch_device(self) -> str:
        """Name it as torch does."""
        return f"cuda:{self.index}"

    def open(self) -> None:
        """Note which device, and what the allocator reads."""
        self.done.append((f"open {self.torch_device}", os.environ.get(VARIABLE)))


@pytest.fixture
def done(monkeypatch):
    """Stand in for CUDA and for torch's process groups; return what is done, in order."""
    noted: list[object] = []
    Noted.done = noted
    monkeypatch.setattr(Noted, "__abstractmethods__", frozenset())
    monkeypatch.setattr(devices, "get", lambda _kind: Noted)

    def init(backend, *, rank, world_size, device_id, **_):
        noted.append((backend, rank, world_size, str(device_id)))

    monkeypatch.setattr(dist, "init_process_group", init)
    monkeypatch.setattr(dist, "new_group", lambda *, backend, timeout: noted.append(backend))
    monkeypatch.delenv(VARIABLE, raising=False)
    yield noted
    os.environ.pop(VARIABLE, None)


def config(*lines: str) -> Config:
    """Compose GPT on CUDA with these overrides."""
    with Composer([]) as composer:
        (job,) = composer.jobs(["workload=gpt", "device=cuda", *lines])
        return validate(job.config)


def test_each_rank_opens_its_own_device_before_it_joins(done):
    """NCCL binds to the device that it is told of; peers agree over gloo, which needs none."""
    wanted = config("device.index=1", "parallel=ddp", "parallel.ranks=4")
    device, peers = prepare.open_device(wanted, ReplicaSpec({}, {}, rank=2))
    assert done == [("open cuda:3", None), ("nccl", 2, 4, "cuda:3"), "gloo"]
    assert (device.index, peers.rank, peers.world) == (3, 2, 4)


def test_ranks_on_one_device_join_without_nccl(done):
    """NCCL refuses two ranks on one device."""
    prepare.open_device(config("parallel=task", "parallel.ranks=2"), ReplicaSpec({}, {}, rank=1))
    assert done == [("open cuda:0", None), ("gloo", 1, 2, "None"), "gloo"]


def test_the_allocator_is_told_before_the_device_is_open(done):
    """It reads its settings once."""
    prepare.open_device(config("optimize=expandable_segments"), ReplicaSpec({}, {}))
    assert done == [("open cuda:0", "expandable_segments:True")]
