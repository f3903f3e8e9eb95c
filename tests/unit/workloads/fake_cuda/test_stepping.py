"""Every workload and mode on a CUDA device of fake tensors, through the real `prepare`; no GPU is needed.

A tensor of the host that meets one of the device raises there as on a real one, and so does a number that a
step reads back. What this cannot see is numbers, time and memory.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness.planning.compatibility import PLAIN, Cells, Matrix
from workloads import registry
from workloads.base import TRAINING
from workloads.compatibility import refusal

HERE = Path(__file__).parent
MATRIX = Matrix("cuda")
READS = "step: DataDependentOutputException: aten._local_scalar_dense.default"
CROSSES = {
    "copy infer": "step: aten.copy_.default",  # what it is for
    "dataloading infer": "step: aten.to.dtype_layout",  # what it is for
    "detr train": READS,  # the library matches queries to objects on the host
    "wav2vec2 train": READS,  # the library looks for labels beyond its vocabulary
    "speecht5 train": "step: DynamicOutputShapeException: aten.masked_select.default",  # the library's loss
    # torch.save cannot pickle a fake tensor
    "checkpoint infer": "step: AttributeError: Can't pickle local object"
    " 'WeakValueDictionary.__init__.<locals>.remove'",
}
"""What a step of these works does beside the device; a work that stops doing so leaves this table."""
READS_WEIGHTS = {"prune", "prune_2_4", "codebook", "svd"}
"""Compressors that look at the weights' values, which fake ones lack."""
CPU_ALONE = {"int8_recurrent", "int8_convolution"}
COMPILED = {"compile", "reduce_overhead", "max_autotune", "cuda_graphs"}
"""They make or replay real kernels."""
SOME = (
    "gpt train", "gpt generate", "gpt prefill", "llama decode", "bert train", "vit infer", "resnet train",
    "resnet infer", "t5 train", "moe train", "mamba train", "translation generate", "unet train", "mlp infer",
)  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Compile the device that does nothing; a torch with CUDA has a real one."""
    compiler, place = shutil.which("g++"), Path(torch.__file__).parent
    if torch.version.cuda is not None or torch.version.hip is not None:
        pytest.skip("this torch brings a CUDA device of its own")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C++ compiler whose library Linux loads before torch")
    built = tmp_path_factory.mktemp("fake") / "device.so"
    libraries = [f"-L{place}/lib", f"-Wl,-rpath,{place}/lib", "-lc10", "-ltorch_cpu"]
    command = [
        compiler,
        "-std=c++20",
        "-shared",
        "-fPIC",
        f"-I{place}/include",
        HERE / "device.cpp",
        "-o",
        built,
    ]
    subprocess.run([*command, *libraries], check=True)
    return built


def run_cells(library: Path, cells: list[Cells]) -> dict[str, str]:
    """Return what is wrong with some of the cells, by what is not plain in them."""
    done = subprocess.run(
        [sys.executable, HERE / "stepping.py"],
        input=json.dumps(cells), capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(HERE.parents[3]), "LD_PRELOAD": str(library)},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == len(cells), f"ended in {cells[len(lines)]}: {done.stderr[-2000:]}"
    told = zip(cells, map(json.loads, lines), strict=True)
    return {named(cell): wrong for cell, wrong in told if wrong is not None}


def named(cell: Cells) -> str:
    """Name a cell by its work and what is neither plain nor bf16."""
    return " ".join(
        [cell["work"], *(v for k, v in cell.items() if k != "work" and v not in {PLAIN[k], "bf16"})]
    )


def able(**choices: str) -> Iterator[Cells]:
    """Yield the cell of these choices, all else plain, unless it is refused."""
    cell = PLAIN | choices
    if refusal(MATRIX.cell(cell)) is None:
        yield cell


def works() -> list[str]:
    """Return every workload with each mode whose steps it makes itself, but for exchanges between ranks."""
    return [
        work
        for work in MATRIX.values["work"]
        if not work.startswith("collectives") and not work.endswith(" serve")
    ]


def by_sgd(work: str) -> bool:
    """Tell whether a work trains by SGD."""
    name, _, mode = work.partition(" ")
    return mode in TRAINING and registry.get(name).spec.train["optimizer"] == "sgd"


def test_every_step_stays_on_the_device(library):
    """In bf16, which casts or runs under autocast, where the work has it; else in fp32."""
    cells = [
        next(cell for precision in ("bf16", "fp32") for cell in able(work=work, precision=precision))
        for work in works()
    ]
    cells += able(work="bert train", precision="fp8")  # its classifier sees eight rows, no multiple of 16
    assert run_cells(library, cells) == CROSSES


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "fp8"])
def test_every_step_stays_on_the_device_in_every_precision(library, precision):
    """Loss scaling leaves it to AdamW's kernel to skip a step; SGD's gets it wrong, and torch has to look."""
    cells = [cell for work in works() for cell in able(work=work, precision=precision)]
    crosses = CROSSES | ({work: READS for work in works() if by_sgd(work)} if precision == "fp16" else {})
    assert run_cells(library, cells) == {named(c): crosses[c["work"]] for c in cells if c["work"] in crosses}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["optimize", "compress"])
def test_steps_stay_on_the_device_however_they_are_made(library, part):
    """Each optimisation and compressor with some works, in bf16."""
    left_out = {"optimize": COMPILED, "compress": READS_WEIGHTS}[part]
    values = [value for value in MATRIX.values[part] if value != PLAIN[part] and value not in left_out]
    cells = [
        cell
        for value in values
        for work in SOME
        for cell in able(work=work, precision="bf16", **{part: value})
    ]
    assert set(values) - {cell[part] for cell in cells} <= CPU_ALONE
    assert run_cells(library, cells) == {}


@pytest.mark.slow
def test_strategies_keep_tensors_on_the_device(library):
    """Those that need no stream of their own; what is offloaded goes to the host and comes back."""
    cells = [
        cell
        for parallel in ("tensor", "replicated", "offload")
        for work in SOME
        for cell in able(work=work, precision="bf16", parallel=parallel)
    ]
    offloaded = {named(cell): "step: aten.copy_.default" for cell in cells if cell["parallel"] == "offload"}
    assert run_cells(library, cells) == offloaded


@pytest.mark.slow
def test_what_is_left_out_still_cannot_be_had(library):
    """A compressor that no longer reads the weights' values is to be tested as the others are."""
    cells = [
        cell
        for name in sorted(READS_WEIGHTS)
        for cell in able(work="vit infer", precision="bf16", compress=name)
    ]
    wrong = run_cells(library, cells)
    assert [line.startswith("prepare: ") for line in wrong.values()] == [True] * len(READS_WEIGHTS)
