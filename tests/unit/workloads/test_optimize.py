"""Optimisations change the speed, never the result; each refuses where it has no meaning."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest
import torch
import yaml

from harness.config.folder import config_folder
from workloads import optimize, registry
from workloads.base import UnsupportedError
from workloads.compatibility import refusal
from workloads.engine import inference
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.optimize import EAGER, Optimize
from workloads.parallel.registry import STRATEGIES
from workloads.transform import Cell, resolve_settings

OPTIONS = {
    path.stem: {key: value for key, value in yaml.safe_load(path.read_text()).items() if key != "name"}
    for path in sorted((config_folder() / "optimize").glob("*.yaml"))
}


@pytest.fixture(autouse=True)
def _all_attention():
    yield
    optimize.choose_attention("auto")


def silent(_name: str) -> None:
    """Take a mark and forget it."""


def results(workload, wanted: Optimize, steps_run: int = 3, **options) -> torch.Tensor:
    """Return the losses of a few steps of SGD, or the last output."""
    job = prepare(workload, Setup(optimize=wanted, optimizer="sgd", lr=0.1, **options))
    for index in range(steps_run):
        job.step(index, silent)
    losses = job.losses()
    return torch.tensor(losses, dtype=torch.float64) if losses else job.output().clone()


def test_every_group_value_is_an_optimisation():
    """Only `eager` is the plain model, and no file repeats a default."""
    made = {name: Optimize(**values) for name, values in OPTIONS.items()}
    assert [name for name, wanted in made.items() if wanted == EAGER] == ["eager"]
    assert not [name for name, keys in OPTIONS.items() if keys.items() & asdict(EAGER).items()]


@pytest.mark.parametrize(
    "name", [n for n in OPTIONS if n not in {"eager", "compile", "reduce_overhead", "max_autotune"}]
)
@pytest.mark.parametrize(("workload", "mode"), [("gpt", "train"), ("gpt", "generate"), ("resnet", "train")])
def test_what_works_here_gives_the_eager_result(make, name, workload, mode):
    """Whatever is not refused on the CPU computes the same."""
    wanted = Optimize(**OPTIONS[name])
    if optimize.refusal(wanted, registry.get(workload).spec, mode, "cpu") is not None:
        return
    sizes = {"batch": 4} | ({"new_tokens": 4} if mode == "generate" else {})
    plain, fast = (results(make(workload, mode, **sizes), w) for w in (EAGER, wanted))
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-6)


def test_a_checkpointed_block_keeps_its_input_alone(make):
    """Fewer bytes wait for the backward pass, and the losses are the same to the last bit."""
    kept = {}
    for checkpointed in (False, True):
        workload = make("bert", "train", layers=3)
        model = workload.build_model()
        optimize.apply(Optimize(checkpoint=checkpointed), workload, model)
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, to=saved: to.append(t.numel()) or t, lambda t: t
        ):
            workload.loss(model, workload.make_batch(0)).backward()
        kept[checkpointed] = sum(saved)
    assert kept[True] < 0.5 * kept[False]
    same = [results(make("bert", "train"), Optimize(checkpoint=on)) for on in (False, True)]
    assert torch.equal(*same)


def test_a_block_that_stands_for_several_layers_is_checkpointed_once(make):
    """Shared layers are one module; wrapping it twice would compute it three times."""
    workload = make("bert", "train", shared=True)
    model = workload.build_model()
    optimize.apply(Optimize(checkpoint=True), workload, model)
    calls = []
    workload.blocks(model)[0].qkv.register_forward_pre_hook(lambda *_: calls.append("inner"))
    workload.loss(model, workload.make_batch(0)).backward()
    assert calls.count("inner") == 2 * workload.n("layers")


def test_channels_lie_innermost(make):
    """The convolutions' weights are stored so."""
    job = prepare(make("resnet", "infer"), Setup(optimize=Optimize(channels_last=True)))
    weight = next(p for p in job.model.parameters() if p.dim() == 4 and p.shape[1] > 3)
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["gpt", "llama", "moe"])
def test_both_kinds_of_cache_give_the_same_tokens(make, name):
    """A cache that grows holds what a static one holds."""
    static, growing = (
        results(make(name, "generate", batch=2, new_tokens=6), Optimize(kv_cache=kind), 1, top_k=1)
        for kind in ("static", "growing")
    )
    assert torch.equal(static, growing)


def test_a_growing_cache_is_rewound_for_every_decode_step(make):
    """Each step appends to the same context."""
    job = prepare(make("gpt", "decode", batch=2), Setup(optimize=Optimize(kv_cache="growing")))
    outputs = []
    for index in range(3):
        job.step(index, silent)
        outputs.append(job.output().clone())
    assert torch.equal(outputs[0], outputs[2])
    torch.testing.assert_close(outputs[0], results(make("gpt", "decode", batch=2), EAGER))


@pytest.mark.parametrize("update", ["loop", "foreach", "fused"])
def test_the_optimizer_walks_its_tensors_as_asked(make, update):
    """Torch's own switches say how."""
    job = prepare(make("mlp", "train"), Setup(optimize=Optimize(update=update)))
    found = [
        cell.cell_contents
        for cell in job.step.__closure__
        if isinstance(cell.cell_contents, torch.optim.AdamW)
    ]
    assert (found[0].defaults["foreach"], found[0].defaults["fused"]) == (
        update == "foreach",
        update == "fused",
    )


def test_attention_may_be_held_to_one_back_end():
    """The others are switched off in this process, and `auto` switches them on again."""
    from torch.backends import cuda

    optimize.choose_attention("math")
    assert (cuda.math_sdp_enabled(), cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled()) == (
        True,
        False,
        False,
    )
    optimize.choose_attention("efficient")
    assert (cuda.math_sdp_enabled(), cuda.mem_efficient_sdp_enabled()) == (False, True)
    optimize.choose_attention("auto")
    assert all((cuda.math_sdp_enabled(), cuda.flash_sdp_enabled(), cuda.cudnn_sdp_enabled()))


@pytest.mark.parametrize(
    ("wanted", "workload", "mode", "reason"),
    [
        ({"cuda_graphs": True}, "gpt", "infer", "CUDA devices only"),
        ({"checkpoint": True}, "gpt", "decode", "need a backward pass"),
        ({"checkpoint": True}, "mlp", "train", "no repeated blocks"),
        ({"update": "fused"}, "gpt", "decode", "needs an optimizer"),
        ({"channels_last": True}, "gpt", "train", "no images"),
        ({"kv_cache": "growing"}, "mamba", "decode", "keeps no keys"),
        ({"kv_cache": "growing"}, "gpt", "train", "keeps no keys"),
        ({"attention": "math"}, "mlp", "train", "does not attend"),
        ({"attention": "cudnn"}, "gpt", "train", "CUDA devices only"),
        ({"attention": "flash"}, "t5", "train", "learns a bias"),
        ({"expandable_segments": True}, "gpt", "train", "CUDA's allocator"),
        ({"compile": "default"}, "noop", "infer", "cannot be compiled"),
        ({"compile": "reduce-overhead"}, "gpt", "decode", "the default mode with CUDA graphs"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_reason(wanted, workload, mode, reason):
    """Nothing is skipped in silence."""
    assert reason in optimize.refusal(Optimize(**wanted), registry.get(workload).spec, mode, "cpu")


def test_flash_attention_takes_a_mask_on_the_cpu_alone(make):
    """There it gives the loss of the other back ends."""
    flash, spec = Optimize(attention="flash"), registry.get("bert").spec
    assert optimize.refusal(flash, spec, "train", "cpu") is None
    assert "under a mask" in optimize.refusal(flash, spec, "train", "cuda")
    losses = (results(make("bert", "train"), Optimize(attention=name)) for name in ("flash", "math"))
    torch.testing.assert_close(*losses)


def test_graphs_are_refused_where_they_cannot_capture_the_step():
    """Generation picks words between its passes; the compiler makes graphs of its own."""
    spec = registry.get("gpt").spec
    assert optimize.refusal(Optimize(cuda_graphs=True), spec, "decode", "cuda") is None
    reader = registry.get("dataloading").spec
    assert "works on the host" in optimize.refusal(Optimize(cuda_graphs=True), reader, "infer", "cuda")
    assert "captures infer" in optimize.refusal(Optimize(cuda_graphs=True), spec, "generate", "cuda")
    both = Optimize(cuda_graphs=True, compile="default")
    assert "eager step" in optimize.refusal(both, spec, "decode", "cuda")


@pytest.mark.parametrize(
    ("workload", "mode", "wanted", "precision", "reason"),
    [
        ("gpt", "train", {"attention": "flash"}, "fp32", "flash takes bf16 and fp16 on CUDA, not fp32"),
        ("gpt", "train", {"attention": "cudnn"}, "tf32", "cudnn takes bf16 and fp16 on CUDA, not tf32"),
        ("gpt", "train", {"attention": "flash"}, "fp16", None),
        ("gpt", "train", {"attention": "cudnn"}, "fp8", None),
        ("gpt", "train", {"attention": "efficient"}, "fp32", None),
        ("moe", "decode", {"cuda_graphs": True}, "fp32", "in fp32 torch reads back how many rows"),
        ("moe", "decode", {"cuda_graphs": True}, "bf16", None),
        ("llama", "decode", {"cuda_graphs": True}, "fp32", None),
    ],
)
def test_what_kernels_on_cuda_have_in_half_precision_alone_is_refused_in_others(
    workload, mode, wanted, precision, reason
):
    """The plan says it, before a GPU is asked for a kernel that torch lacks."""
    spec = registry.get(workload).spec
    cell = Cell(spec, mode, spec.sizes["tiny"], precision, Optimize(**wanted), device="cuda")
    told = refusal(cell)
    assert told is None if reason is None else reason in told


class FakeCuda:
    """The parts of `torch.cuda` that a capture uses; keeps what was done, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.on = "main"

    def patch(self, monkeypatch) -> list[str]:
        """Take the place of the real ones; return what will be done."""
        cuda = self

        class Stream:
            def __init__(self, name: str = "side") -> None:
                self.name = name

            def wait_stream(self, other: Stream) -> None:
                cuda.done.append(f"{self.name} waits for {other.name}")

        class Graph:
            def replay(self) -> None:
                cuda.done.append(f"replay {self.turn}")

        @contextmanager
        def stream(other: Stream):
            cuda.on = other.name
            yield
            cuda.on = "main"

        @contextmanager
        def graph(made: Graph, *, pool, capture_error_mode):
            assert (pool, capture_error_mode) == ("pool", "thread_local")
            cuda.on, begun = "graph", len(cuda.done)
            yield
            cuda.on = "main"
            (made.turn,) = (line.split()[1] for line in cuda.done[begun:])

        for name, value in {
            "Stream": Stream, "CUDAGraph": Graph, "stream": stream, "graph": graph,
            "current_stream": lambda: Stream("main"), "graph_pool_handle": lambda: "pool",
        }.items():  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)
        return self.done

    def run(self, index: int, _mark) -> torch.Tensor:
        """Stand for a workload's step."""
        self.done.append(f"turn {index} on {self.on}")
        return torch.tensor(index)


def test_every_turn_of_the_ring_is_captured_before_the_first_replay(monkeypatch):
    """A graph belongs to its inputs; none may be captured among steps that are measured."""
    cuda = FakeCuda()
    done = cuda.patch(monkeypatch)
    run = inference.graphed(cuda.run, 2)
    assert [int(run(index, silent)) for index in (5, 6, 7)] == [1, 0, 1]
    rehearsed = [
        ["side waits for main", *[f"turn {turn} on side"] * 3, "main waits for side", f"turn {turn} on graph"]
        for turn in (0, 1)
    ]
    assert done == [*rehearsed[0], *rehearsed[1], "replay 1", "replay 0", "replay 1"]


def test_the_allocator_is_told_before_the_device_is_used():
    """By the variable that torch reads then."""
    assert optimize.allocator_environment(EAGER) == {}
    told = optimize.allocator_environment(Optimize(expandable_segments=True))
    assert told == {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@pytest.mark.parametrize(
    ("update", "optimizer", "found"),
    [
        ("auto", "adamw", "fused"),
        ("loop", "sgd", "loop"),
        ("foreach", "adamw", "foreach"),
        ("fused", "sgd", "fused"),
    ],
)
def test_a_job_tells_how_its_weights_are_updated(make, update, optimizer, found):
    """What ran is a fact of its own beside what was asked for; inference has no such thing."""
    job = prepare(make("mlp", "train"), Setup(optimize=Optimize(update=update), optimizer=optimizer, lr=0.1))
    assert job.update == found
    assert prepare(make("mlp", "infer"), Setup()).update is None


def test_a_step_that_the_gradient_scaler_skips_leaves_sgd_as_it_was(make):
    """Torch's fused SGD would write its momentum; fp16 takes another walk, and asking for it is refused."""
    workload = make("resnet", "train")
    job = prepare(workload, Setup(precision="fp16"))
    assert job.update == "loop"
    weights = list(job.model.parameters())
    before = [p.detach().clone() for p in weights]
    hooks = [p.register_hook(lambda gradient: torch.full_like(gradient, torch.inf)) for p in weights]
    job.step(0, silent)
    assert all(torch.equal(a, b) for a, b in zip(before, weights, strict=True))
    assert job.optimizer_bytes() == 0
    for hook in hooks:
        hook.remove()
    for index in range(1, 6):
        job.step(index, silent)
    assert all(bool(p.isfinite().all()) for p in weights)
    assert prepare(make("gpt", "train"), Setup(precision="fp16")).update == "fused"  # AdamW's kernel is right
    with pytest.raises(UnsupportedError, match="spoils its momentum"):
        prepare(workload, Setup(precision="fp16", optimize=Optimize(update="fused")))


@pytest.mark.parametrize(("parallel", "optimizer"), [("fsdp", "sgd"), ("ddp", "sgd"), ("fsdp", "adamw")])
def test_sgd_in_one_kernel_over_spread_weights_is_refused(parallel, optimizer):
    """The plan says what the ranks would find."""
    spec, settings = registry.get("gpt").spec, resolve_settings(STRATEGIES.get(parallel).spec, {})
    cell = Cell(spec, "train", spec.sizes["tiny"], optimize=Optimize(update="fused"), optimizer=optimizer)
    told = refusal(replace(cell, parallel=parallel, parallel_settings=settings, ranks=2))
    assert (told or "").startswith("torch has no SGD") is ((parallel, optimizer) == ("fsdp", "sgd"))


@pytest.mark.parametrize(
    ("workload", "optimizer", "precision", "refused"),
    [
        ("resnet", None, "fp16", True),
        ("gpt", "sgd", "fp16", True),
        ("resnet", "adamw", "fp16", False),
        ("resnet", None, "bf16", False),
    ],
)
def test_sgd_in_one_kernel_is_refused_in_fp16(workload, optimizer, precision, refused):
    """The plan says it, whichever way the optimizer was chosen."""
    spec = registry.get(workload).spec
    cell = Cell(spec, "train", spec.sizes["tiny"], precision, Optimize(update="fused"), optimizer=optimizer)
    assert ("spoils its momentum" in (refusal(cell) or "")) is refused
