"""Steps that only a GPU can run, against what it gives in the plainest way."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from workloads import optimize, registry
from workloads.base import SERVE
from workloads.compatibility import refusal
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.optimize import Optimize
from workloads.sizes import resolve_size
from workloads.transform import Cell

pytestmark = pytest.mark.gpu
DEVICE = "cuda:0"
WAITS = {"copy", "dataloading", "checkpoint", "detr", "wav2vec2", "speecht5"}
"""Workloads whose step passes something to or from the host."""


@pytest.fixture(autouse=True)
def as_before(cuda_torch):
    """Leave torch's switches as they were."""
    yield
    optimize.choose_attention("auto")
    cuda_torch.set_float32_matmul_precision("highest")


def made(name, mode, wanted=Optimize(), precision="fp32", **overrides):  # noqa: B008 - frozen
    """Return a job of the tiny size, trained by SGD; skip where a library is missing."""
    kind = registry.get(name)
    size = resolve_size(kind.spec, "tiny", overrides)
    told = refusal(Cell(kind.spec, mode, size, precision, wanted, device="cuda"))
    if told is not None and "pip install" in told:
        pytest.skip(told)
    assert told is None
    setup = Setup(device=DEVICE, precision=precision, optimize=wanted, optimizer="sgd", lr=0.01)
    return prepare(kind(mode, size), setup)


def outcomes(job, steps=6):
    """Return the losses of a few steps, or each step's output, on the host."""
    found = []
    for index in range(steps):
        job.step(index, lambda _mark: None)
        found.append(job.output().cpu().clone())
    return job.losses() or found


@pytest.mark.parametrize(
    ("precision", "within"), [("tf32", 0.01), ("bf16", 0.05), ("fp16", 0.05), ("fp8", 0.1)]
)
@pytest.mark.parametrize("name", ["gpt", "bert", "vit"])
def test_training_in_each_precision_follows_fp32(name, precision, within):
    """Losses are near those of fp32, and not the same."""
    plain, other = (outcomes(made(name, "train", precision=p)) for p in ("fp32", precision))
    assert other == pytest.approx(plain, rel=within)
    assert other != plain


@pytest.mark.parametrize(
    ("name", "mode", "precision"),
    [
        ("gpt", "prefill", "fp32"), ("gpt", "decode", "bf16"), ("llama", "decode", "fp32"),
        ("resnet", "infer", "fp32"), ("moe", "decode", "bf16"), ("mamba", "decode", "fp32"),
        ("maskgit", "infer", "fp32"), ("dlrm", "infer", "fp32"), ("clip", "infer", "bf16"),
    ],
)  # fmt: skip
def test_a_replayed_graph_gives_what_the_eager_step_gives(cuda_torch, name, mode, precision):
    """For every batch of the ring, and once more when it comes round."""
    eager, graphed = (outcomes(made(name, mode, Optimize(cuda_graphs=on), precision)) for on in (False, True))
    for one, other in zip(eager, graphed, strict=True):
        cuda_torch.testing.assert_close(other, one, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("back_end", ["flash", "efficient", "cudnn"])
@pytest.mark.parametrize(("name", "mode"), [("gpt", "prefill"), ("gpt", "train"), ("vit", "infer")])
def test_attention_back_ends_agree(name, mode, back_end):
    """In bf16, which all of them take."""
    found = [outcomes(made(name, mode, Optimize(attention=a), "bf16"), 2) for a in ("math", back_end)]
    if mode == "train":
        assert found[1] == pytest.approx(found[0], rel=0.02)
        return
    for one, other in zip(*((t.double() for t in outputs) for outputs in found), strict=True):
        assert float((one - other).square().sum() / one.square().sum()) < 1e-3


@pytest.mark.parametrize(
    "wanted",
    [
        {"update": "loop"}, {"update": "foreach"}, {"update": "fused"}, {"checkpoint": True},
        {"channels_last": True},
    ],
    ids=str,
)  # fmt: skip
def test_other_ways_of_a_step_learn_the_same(wanted):
    """Beside the step that `optimize=eager` runs."""
    name = "resnet" if "channels_last" in wanted else "gpt"
    plain, other = (outcomes(made(name, "train", w), 4) for w in (Optimize(), Optimize(**wanted)))
    assert other == pytest.approx(plain, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "mode", "more", "sizes"),
    [
        ("gpt", "train", {}, {}),
        ("clip", "train", {}, {}),
        ("gpt", "generate", {"kv_cache": "growing"}, {"new_tokens": 4}),
    ],
)
def test_graphs_of_the_compiler_give_the_eager_result(cuda_torch, name, mode, more, sizes):
    """Also where the model itself returns its loss, and where a call takes what the one before returned."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("no C compiler for what the compiler makes")
    pytest.importorskip("triton")
    eager, job = (
        made(name, mode, Optimize(compile=how, **more), **sizes) for how in (None, "reduce-overhead")
    )
    plain, compiled = outcomes(eager), outcomes(job)
    assert job.compiled.startswith("compiled")
    if mode == "train":
        assert compiled == pytest.approx(plain, rel=1e-2)
    else:
        same = [bool(cuda_torch.equal(*pair)) for pair in zip(plain, compiled, strict=True)]
        assert same == [True] * len(same)


@pytest.mark.parametrize(
    "name", [n for n in registry.names() if n not in WAITS | {"user", "collectives", "endpoint"}]
)
def test_a_step_waits_for_nothing(cuda_torch, name):
    """Torch raises at what would make the host wait; the first step may set libraries up."""
    spec = registry.get(name).spec
    if spec.family == "selftest":
        return
    precision = "bf16" if "bf16" in spec.precisions else "fp32"
    for mode in (mode for mode in spec.modes if mode != SERVE):  # a user waits for the token of every step
        job = made(name, mode, precision=precision)
        job.step(0, lambda _mark: None)
        cuda_torch.cuda.set_sync_debug_mode("error")
        try:
            job.step(1, lambda _mark: None)
        finally:
            cuda_torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("direction", ["to_device", "to_host"])
@pytest.mark.parametrize("pinned", [False, True])
def test_copies_arrive(cuda_torch, direction, pinned):
    """From pinned memory too, where the step returns before they do."""
    job = made("copy", "infer", direction=direction, pinned=pinned)
    job.step(0, lambda _mark: None)
    cuda_torch.cuda.synchronize()
    assert cuda_torch.equal(job.model.source.cpu(), job.output().cpu())
    assert job.model.source.device != job.output().device


def test_images_are_loaded_through_pinned_memory(cuda_torch):
    """By workers, which are forked from a process with an open device."""
    job = made("dataloading", "infer", pinned=True, workers=2)
    for index in range(3):
        job.step(index, lambda _mark: None)
    assert job.check()["output_ok"]
    assert job.output().device == cuda_torch.device(DEVICE)


def test_the_allocator_grows_its_segments(cuda_torch):
    """A worker has imported torch long before it learns of the trial."""
    code = (
        "import os, torch\n"
        "from workloads.optimize import Optimize, allocator_environment\n"
        "os.environ.update(allocator_environment(Optimize(expandable_segments=True)))\n"
        "held = torch.empty(1 << 20, device='cuda:0')\n"
        "print({segment['is_expandable'] for segment in torch.cuda.memory_snapshot()})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "{True}\n", done.stderr
