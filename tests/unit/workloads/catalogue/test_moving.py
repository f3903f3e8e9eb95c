"""Copies, data loading and checkpoints: what arrives is what was there, and its bytes are counted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from workloads import compatibility
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.inputs.files import Files
from workloads.inputs.sources import SHIPPED
from workloads.transform import Cell

NAMES = ("copy", "checkpoint", "dataloading")


def silent(_name: str) -> None:
    """Take a mark and forget it."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Keep the files that are made out of the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", NAMES)
def test_all_sizes_have_the_same_keys_and_grow(make, name):
    """A sweep over sizes may override the same keys everywhere; `base` moves more than `tiny`."""
    sizes = type(make(name, "infer")).spec.sizes
    assert {frozenset(size) for size in sizes.values()} == {frozenset(sizes["tiny"])}
    moved = [
        make(name, "infer", size).units({"x": torch.zeros(1)}).bytes for size in ("tiny", "base", "large")
    ]
    assert moved == sorted(set(moved))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_s_bytes_are_counted(make, name):
    """And its samples; there are no FLOPs."""
    sizes = {
        "copy": {"batch": 3, "kib": 5},
        "checkpoint": {"tensors": 2, "hidden": 8},
        "dataloading": {"batch": 3, "image": 10},
    }
    moved = {"copy": 3 * 5 * 1024, "checkpoint": 2 * 3 * 4 * 64, "dataloading": 3 * 3 * 100}
    job = prepare(make(name, "infer", **sizes[name]), Setup())
    job.step(0, silent)
    assert job.check()["output_ok"]
    units = job.units(0)
    assert units.bytes == moved[name]
    assert units.samples == (1 if name == "checkpoint" else 3)
    assert units.flops == 0
    assert (units + units).bytes == units.times(2).bytes == 2 * moved[name]


@pytest.mark.parametrize("direction", ["to_device", "to_host"])
def test_copies_arrive(make, direction):
    """Every byte of every row, after one step; what is random on one side is then so on both."""
    job = prepare(make("copy", "infer", batch=3, kib=2, direction=direction), Setup())
    assert not torch.equal(job.model.source, job.model.target)
    job.step(0, silent)
    assert torch.equal(job.model.source, job.output())
    assert job.output().shape == (3, 2048)
    assert len(job.output().unique()) > 200


@pytest.mark.parametrize("name", ["copy", "dataloading"])
def test_pinned_memory_is_refused_without_a_device_that_uses_it(make, name):
    """On the CPU it would be the same copy under another name."""
    workload = make(name, "infer", pinned=True)
    on = {
        kind: compatibility.refusal(Cell(workload.spec, "infer", workload.size, device=kind))
        for kind in ("cpu", "cuda")
    }
    assert on == {"cpu": "pinned memory serves copies to and from CUDA devices, not cpu", "cuda": None}


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
@pytest.mark.parametrize("sync", [True, False])
def test_what_was_saved_is_loaded(make, kind, sync):
    """Weights and moments come back, whatever happened to them in between."""
    workload = make("checkpoint", "infer", direction="load", format=kind, sync=sync)
    job = prepare(workload, Setup())
    before = {key: tensor.clone() for key, tensor in job.model.state_dict().items()}
    assert len(before) == 3 * 4
    job.step(0, silent)
    for tensor in job.model.state_dict().values():
        tensor.zero_()
    job.step(1, silent)
    assert all(torch.equal(tensor, before[key]) for key, tensor in job.model.state_dict().items())


def test_a_save_replaces_the_one_before_it(make):
    """The file holds one checkpoint, that of the last step, and no name points to it."""
    workload = make("checkpoint", "infer", tensors=1, hidden=4)
    job = prepare(workload, Setup())
    lengths = []
    for index in range(3):
        job.model.weights[0].data.fill_(index)
        job.step(index, silent)
        lengths.append(os.fstat(workload._file.fileno()).st_size)
    assert len(set(lengths)) == 1
    assert os.fstat(workload._file.fileno()).st_nlink == 0
    workload._file.seek(0)
    assert float(torch.load(workload._file, weights_only=True)["weights.0"].mean()) == 2.0


@pytest.mark.parametrize("content", ["images", "text"])
@pytest.mark.parametrize("compressed", [True, False])
def test_batches_hold_the_samples_that_were_drawn(make, content, compressed, cache):
    """In the order of the batches' numbers, and from files of the announced kind."""
    workload = make(
        "dataloading", "infer", batch=4, content=content, compressed=compressed, image=12, seq=400, samples=9
    )
    job = prepare(workload, Setup())
    files = workload._samples
    for index in range(6):
        job.step(index, silent)
        drawn = workload.make_batch(index)["x"].tolist()
        assert np.array_equal(job.output().numpy(), np.stack([files[number] for number in drawn]))
    (folder,) = (cache / "joulemark" / "samples").iterdir()
    written = [path.stat().st_size for path in sorted(folder.iterdir())]
    assert len(written) == 9
    raw = 3 * 12 * 12 if content == "images" else 400
    assert max(written) < raw if compressed else set(written) == {raw}


@pytest.mark.parametrize("name", ["copy", "dataloading"])
def test_a_rank_has_its_share(make, name):
    """Two ranks' rows in their order are the whole batch's."""
    workload = make(name, "infer")
    whole, first, mine = (workload.make_batch(0, rank=r, world=w) for r, w in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(torch.cat((first["x"], mine["x"])), whole["x"])
    model = workload.build_model()
    result = workload.infer(model, mine)
    assert len(result) == len(mine["x"]) == workload.units(mine).samples
    if name == "dataloading":
        wanted = [workload._samples[int(number)] for number in mine["x"]]
        assert np.array_equal(result.numpy(), np.stack(wanted))


def test_workers_load_the_same_batches(make):
    """Two processes read ahead; what they hand over is what the step itself would read."""
    outputs = []
    for workers in (0, 2):
        job = prepare(make("dataloading", "infer", workers=workers), Setup())
        for index in range(5):
            job.step(index, silent)
        outputs.append(job.output().clone())
    assert torch.equal(outputs[0], outputs[1])


def test_files_that_are_forgotten_are_read_again(make):
    """The bytes are the same; only the system's memory of them is gone."""
    jobs = [prepare(make("dataloading", "infer", cached=cached), Setup()) for cached in (True, False)]
    for job in jobs:
        job.step(0, silent)
    assert torch.equal(jobs[0].output(), jobs[1].output())


def test_files_are_made_once_and_the_same_everywhere(cache, monkeypatch, tmp_path):
    """A second maker finds them; another folder gets the same bytes; nothing half-made is left."""
    files = Files("images", 3, side=8, seq=1, compressed=False, cached=True)
    files.ensure()
    first = files[2]
    times = [path.stat().st_mtime_ns for path in sorted(files.folder.iterdir())]
    files.ensure()
    assert [path.stat().st_mtime_ns for path in sorted(files.folder.iterdir())] == times
    assert [path.name for path in files.folder.parent.iterdir()] == [files.folder.name]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    files.ensure()
    assert np.array_equal(files[2], first)


def test_texts_are_of_the_shipped_one():
    """Real language, so that compression does what it does in practice."""
    files = Files("text", 2, side=1, seq=500, compressed=True, cached=True)
    files.ensure()
    assert files[0].tobytes() in SHIPPED.read_bytes() * 2
    assert 2 * files.path(0).stat().st_size < 500 * 1.6


@pytest.mark.parametrize("spoilt", [b"short", b"x" * 300])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_file_that_is_no_sample_is_refused(spoilt, compressed):
    """Whoever wrote it: it is named, with what to do."""
    files = Files("images", 1, side=8, seq=1, compressed=compressed, cached=True)
    files.ensure()
    files.path(0).write_bytes(spoilt)
    with pytest.raises(ValueError, match="is no sample of this set: remove"):
        files[0]


def test_a_folder_of_images_is_decoded(make, tmp_path):
    """By Pillow, to the size that was asked for, in fp32."""
    image = pytest.importorskip("PIL.Image")
    for number in range(3):
        image.new("RGB", (20, 30), (number * 100, 0, 0)).save(tmp_path / f"{number}.png")
    job = prepare(make("dataloading", "infer", batch=2, image=16, data=tmp_path), Setup())
    job.step(0, silent)
    assert job.output().shape == (2, 3, 16, 16)
    assert job.output().dtype == torch.float32
    assert job.units(0).bytes == 2 * 3 * 16 * 16 * 4


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("copy", {"direction": "up"}, "direction 'up' is not one of to_device, to_host"),
        ("checkpoint", {"direction": "up"}, "direction 'up' is not one of save, load"),
        ("checkpoint", {"format": "pickle"}, "format 'pickle' is not one of torch, safetensors"),
        ("checkpoint", {"batch": 2}, "batch cannot be 2"),
        ("dataloading", {"content": "sound"}, "content 'sound' is not one of images, text"),
        ("dataloading", {"workers": -1}, "workers must be a whole number of at least 0"),
        ("dataloading", {"content": "text", "data": Path()}, "needs shape.content=images"),
    ],
)
def test_what_cannot_work_is_refused(make, name, overrides, message):
    """One line, before anything is built."""
    with pytest.raises(ValueError, match=message):
        make(name, "infer", **overrides)
