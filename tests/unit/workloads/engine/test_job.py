"""Every mode of every workload: its result, its units, its compiled graphs and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from workloads import registry
from workloads.base import UnsupportedError
from workloads.engine.job import RING, prepare
from workloads.engine.setup import Setup
from workloads.optimize import Optimize

CPU = torch.device("cpu")


def silent(_name: str) -> None:
    """Take a mark and forget it."""


def job_of(workload, precision="fp32", **options):
    """Prepare a workload on the CPU with its own defaults."""
    return prepare(workload, Setup(precision=precision, **options))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_mode_runs_and_its_result_passes_the_check(case, make, precision):
    """One step of each workload, mode and precision ends in a finite result of the right shape."""
    job = job_of(make(*case), precision)
    job.step(0, silent)
    assert job.check() == {"output_ok": True, "output_reason": None}
    assert len(job.losses()) == int(case[1] in {"train", "finetune"})
    units = job.units(0)
    assert units.flops > 0 or case[0] in {"softmax", "layernorm", "embedding"}  # traffic alone
    assert units.least_bytes > 0
    assert job.parameters == sum(p.numel() for p in job.model.parameters())
    assert job.compiled is None


def test_before_a_step_there_is_no_evidence(make):
    """Nothing run is not the same as nothing wrong."""
    check = job_of(make("mlp", "infer")).check()
    assert check == {"output_ok": False, "output_reason": "no step has run"}


@pytest.mark.parametrize("mode", ["train", "infer"])
def test_a_result_that_is_not_finite_is_found(make, mode):
    """A spoiled weight shows in the evidence."""
    job = job_of(make("mlp", mode))
    with torch.no_grad():
        job.model.head.weight.fill_(float("nan"))
    job.step(0, silent)
    check = job.check()
    assert not check["output_ok"]
    assert "not finite" in check["output_reason"]


def test_an_output_without_a_row_for_each_sample_is_found(make, monkeypatch):
    """A model that returns too little is not taken for a fast one."""
    workload = make("mlp", "infer")
    monkeypatch.setattr(workload, "infer", lambda model, batch: torch.ones(3, 4))
    job = job_of(workload)
    job.step(0, silent)
    assert job.check()["output_reason"] == "the output has shape (3, 4) for 64 samples"


def test_training_keeps_fp32_weights_and_inference_casts_them(make):
    """bf16 halves the weights of inference and none of training's."""
    for mode, ratio in (("train", 1), ("infer", 2)):
        full, half = job_of(make("bert", mode)), job_of(make("bert", mode), "bf16")
        assert full.weights_bytes == ratio * half.weights_bytes
        assert {p.dtype for p in half.model.parameters()} == {
            torch.bfloat16 if mode == "infer" else torch.float32
        }


def test_bf16_gives_nearly_the_logits_of_fp32(make):
    """The same seed builds the same weights in either precision."""
    outputs = []
    for precision in ("fp32", "bf16"):
        job = job_of(make("gpt", "prefill"), precision)
        job.step(0, silent)
        outputs.append(job.output().float())
    assert 0 < float((outputs[0] - outputs[1]).abs().max()) < 0.05 * float(outputs[0].abs().max())


def test_steps_take_the_ring_s_batches_in_turn(make):
    """Batch index repeats after RING steps, and so do its units."""
    workload = make("mlp", "infer")
    job = job_of(workload)
    outputs = []
    for index in range(RING + 1):
        job.step(index, silent)
        outputs.append(job.output().clone())
        expected = workload.units(workload.make_batch(index % RING))
        assert job.units(index).tokens == expected.tokens
        assert job.units(index).flops == expected.flops
    assert torch.equal(outputs[0], outputs[RING])
    assert not torch.equal(outputs[0], outputs[1])


def test_the_least_traffic_counts_inputs_as_they_are_stored(make):
    """bf16 images and weights are half as many bytes."""
    full, half = (job_of(make("resnet", "infer"), precision) for precision in ("fp32", "bf16"))
    pixels = 8 * 3 * 64 * 64
    saved = full.weights_bytes - half.weights_bytes + 2 * pixels
    assert full.units(0).least_bytes - half.units(0).least_bytes == saved


class Readbacks(TorchDispatchMode):
    """Collect the operators that make the host wait for a value on the device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # Inference mode shows `item` itself, other modes the operator that it is made of.
        if func.overloadpacket.__name__ in {"_local_scalar_dense", "item", "is_nonzero", "nonzero"}:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_reads_nothing_back_from_the_device(case, make, precision):
    """A read-back would make the host wait, and every launch behind it late."""
    job = job_of(make(*case), precision, optimizer="sgd", lr=0.01, top_k=5)
    with Readbacks() as readbacks:
        job.step(0, silent)
        assert readbacks.seen == []
        float(job.output().flatten()[0])
    assert len(readbacks.seen) == 1  # the instrument sees what it is for


def test_tf32_is_refused_on_the_cpu(make):
    """It is a format of CUDA tensor cores."""
    with pytest.raises(UnsupportedError, match="tf32"):
        job_of(make("mlp", "infer"), "tf32")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"precision": "fp7"}, "precision 'fp7'"), ({"optimizer": "lion"}, "optimizer 'lion'")],
)
def test_unknown_settings_are_refused(make, options, message):
    """One line that names the setting and what there is."""
    with pytest.raises(ValueError, match=message):
        job_of(make("mlp", "train"), **options)


def test_a_mode_that_the_workload_lacks_is_refused():
    """Also when the workload was built past the plan."""
    kind = registry.get("resnet")
    with pytest.raises(UnsupportedError, match="resnet has no mode 'generate'"):
        job_of(kind("generate", kind.spec.sizes["tiny"]))


@pytest.fixture
def traced(monkeypatch):
    """Compile to the traced graphs themselves, which takes no C compiler and a second."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: compile_module(self, backend="eager"))


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("resnet", "infer", "compiled, 1 graph"),
        ("bert", "train", "compiled, 1 graph"),
        ("gpt", "decode", "compiled, 1 graph"),
        ("vit", "infer", "compiled, 1 graph"),
        ("llama", "decode", "compiled, 1 graph"),
        ("dlrm", "train", "compiled, 1 graph"),
        ("translation", "generate", "compiled, 3 graphs"),  # and a second word that has one behind it
        ("gpt", "generate", "compiled, 2 graphs"),  # prefill, and one decode step of any length
        ("lstm", "train", "not compiled"),  # the compiler leaves an LSTM alone without saying so
    ],
)
def test_the_graphs_that_the_compiler_made_are_counted(make, name, mode, expected):
    """What was asked for and what came of it are two facts; the results are those of the eager model."""
    eager, compiled = (
        job_of(make(name, mode, batch=2), optimize=Optimize(compile=how), top_k=1)
        for how in (None, "default")
    )
    for index in range(2):
        eager.step(index, silent)
        compiled.step(index, silent)
    assert compiled.compiled == expected
    torch.testing.assert_close(compiled.output(), eager.output())


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("precision", "whole"), [("bf16", True), ("fp32", False)])
def test_experts_compile_to_one_graph_in_bf16_and_say_where_they_break_in_fp32(make, precision, whole):
    """Torch knows the shape of a grouped product in bf16 alone; around it the rest is compiled."""
    eager, compiled = (
        job_of(make("moe", "prefill", batch=2), precision, optimize=Optimize(compile=how))
        for how in (None, "default")
    )
    for job in (eager, compiled):
        job.step(0, silent)
    assert (compiled.compiled == "compiled, 1 graph") is whole
    assert compiled.compiled.endswith("breaks") is not whole
    torch.testing.assert_close(compiled.output(), eager.output())


def test_the_compiler_s_code_gives_the_eager_result(make):
    """One small model through the whole compiler."""
    eager, compiled = (
        job_of(make("mlp", "infer", layers=1), optimize=Optimize(compile=how)) for how in (None, "default")
    )
    eager.step(0, silent)
    compiled.step(0, silent)
    assert compiled.compiled == "compiled, 1 graph"
    torch.testing.assert_close(compiled.output(), eager.output())
