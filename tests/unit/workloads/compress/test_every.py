"""What holds for every compressor: it runs in its modes, compiles, and is configured as its spec says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from workloads.base import MODES, SERVE, TRAITS
from workloads.compatibility import refusal
from workloads.compress.registry import BUILT_IN, COMPRESSORS
from workloads.optimize import Optimize

ROOT = Path(__file__).parents[4]
NAMES = list(BUILT_IN)
CANDIDATES = ("mlp", "gpt", "bert", "resnet", "lstm", "t5")
CASES = [(name, mode) for name in NAMES for mode in COMPRESSORS.get(name).spec.modes if mode != SERVE]


def silent(_name):
    """Take no mark."""


def suitable(cell, name, mode):
    """Return the first workload that the compressor can work on in this mode."""
    return next(w for w in CANDIDATES if refusal(cell(w, mode, name)) is None)


@pytest.mark.parametrize(("name", "mode"), CASES, ids=[f"{n}-{m}" for n, m in CASES])
def test_it_runs_in_each_of_its_modes(cell, job, name, mode):
    """Two steps, a finite result, and evidence that is plain data."""
    made = job(suitable(cell, name, mode), mode, name)
    for index in range(2):
        made.step(index, silent)
    assert made.check()["output_ok"]
    assert made.weights_bytes > 0
    assert made.evidence()
    assert {type(v) for v in made.evidence().values()} <= {int, float, str, list}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "prefix"])  # T5 takes long to trace
def test_it_compiles_or_is_refused(cell, job, name, monkeypatch):
    """To the eager result; what does not compile says so when planned."""
    spec = COMPRESSORS.get(name).spec
    mode = "infer" if "infer" in spec.modes else spec.modes[0]
    workload = suitable(cell, name, mode)
    planned = replace(cell(workload, mode, name), optimize=Optimize(compile="default"))
    if refusal(planned) is not None:
        assert not spec.compiles
        return
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: compile_module(self, backend="eager"))
    results = []
    for how in (None, "default"):
        made = job(workload, mode, name, optimize=Optimize(compile=how))
        for index in range(2):
            made.step(index, silent)
        results.append(made.output())
    assert made.compiled.startswith("compiled")
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["prune", "tie_blocks", "svd", "lora", "adapters", "distill", "codebook"])
def test_checkpointed_blocks_give_the_same_losses(job, name):
    """Blocks that were replaced, shared or extended are computed again in the backward pass."""
    losses = []
    for checkpoint in (False, True):
        made = job("gpt", "train", name, optimize=Optimize(checkpoint=checkpoint))
        for index in range(3):
            made.step(index, silent)
        losses.append(made.losses())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_its_file_has_every_setting_with_its_default(name):
    """One knows what there is to sweep without reading code."""
    spec = COMPRESSORS.get(name).spec
    expected = {"name": name, "settings": {key: s.default for key, s in spec.settings.items()}}
    found = yaml.safe_load((ROOT / f"conf/compress/{name}.yaml").read_text())
    assert found == expected
    assert [type(v) for v in found["settings"].values()] == [type(s.default) for s in spec.settings.values()]


@pytest.mark.parametrize("name", NAMES)
def test_its_spec_speaks_the_common_words(name):
    """Modes and traits that exist, and the name that it is registered by."""
    spec = COMPRESSORS.get(name).spec
    assert spec.name == name
    assert set(spec.modes) <= set(MODES)
    assert spec.needs <= set(TRAITS)
    for key, setting in spec.settings.items():
        assert setting.checked(key, setting.default) == setting.default


def test_no_file_configures_what_is_not_registered():
    """Apart from none at all."""
    assert {path.stem for path in (ROOT / "conf/compress").glob("*.yaml")} == {"none", *NAMES}


@pytest.mark.parametrize("workload", ["noop", "matmul", "optimizer", "attention"])
@pytest.mark.parametrize("name", NAMES)
def test_operators_are_not_compressed(cell, name, workload):
    """They have no model to make smaller."""
    modes = COMPRESSORS.get(name).spec.modes
    assert all(refusal(cell(workload, mode, name)) for mode in modes)


def row(name):
    """Return a compressor's row of the documented table."""
    spec = COMPRESSORS.get(name).spec
    settings = ", ".join(f"`{key}={s.default}`" for key, s in spec.settings.items())
    modes = "all" if spec.modes == MODES else ", ".join(spec.modes)
    return f"| `{name}` | {spec.summary} | {modes} | {', '.join(sorted(spec.needs))} | {settings} |"


def test_the_documented_table_is_that_of_the_registry():
    """Row by row, in the same order."""
    lines = (ROOT / "docs/compression.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("| `") and line.count("|") == 6] == [
        row(name) for name in NAMES
    ]


@pytest.mark.parametrize("name", [name for name in NAMES if "train" in COMPRESSORS.get(name).spec.modes])
def test_its_loss_is_the_workloads_unless_it_says_so(cell, make, compressor, name):
    """Losses of equal kinds are compared by their time to a target."""
    work = make(suitable(cell, name, "train"), "train")
    torch.manual_seed(0)
    one = compressor(name)
    model, _ = one.compress(work, work.build_model())
    batch = work.make_batch(0)
    losses = []
    for loss in (one.loss, lambda w, m, b: w.loss(m, b)):
        torch.manual_seed(1)
        losses.append(float(loss(work, model, batch).detach()))
    assert (losses[0] == pytest.approx(losses[1], rel=1e-4)) is not one.own_loss
