from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from workloads import registry
from workloads.base import GenerativeWorkload

TORCH_FREE = (
    "from workloads import registry, sizes\n"
    "from workloads.counting import flops\n"
    "from workloads.inputs import sources\n"
    "for name in {names!r}:\n"
    "    spec = registry.get(name).spec\n"
    "    registry.get(name)(spec.modes[0], sizes.resolve_size(spec, 'tiny', {{}}))\n"
    "sources.digest(sources.resolve_data('shipped'))\n"
    "import sys\n"
    "print(sorted(m for m in ('torch', 'numpy', 'PIL') if m in sys.modules))\n"
)


def test_specs_sizes_and_data_identity_load_without_torch():
    """`plan` and `list` look at every workload; they must not pay for torch or numpy."""
    code = TORCH_FREE.format(names=tuple(registry.BUILT_IN))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_all_sizes_of_a_workload_have_the_same_keys(name):
    """A sweep over sizes may override the same keys everywhere."""
    sizes = registry.get(name).spec.sizes
    assert {"tiny", "base", "large"} <= set(sizes)
    assert {frozenset(size) for size in sizes.values()} == {frozenset(sizes["tiny"])}
    assert "batch" in sizes["tiny"]


def test_sizes_grow(name, make):
    """Each size has more parameters than the one before it."""
    mode = registry.get(name).spec.modes[0]
    counts = []
    for size in ("tiny", "base", "large"):
        with torch.device("meta"):
            counts.append(sum(p.numel() for p in make(name, mode, size).build_model().parameters()))
    assert counts == sorted(set(counts))


def test_equal_seeds_give_equal_weights(name, make):
    """Weights depend on torch's random state alone."""
    workload = make(name, registry.get(name).spec.modes[0])
    states = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        states.append(workload.build_model().state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_a_training_loss_reaches_every_parameter(training_case, make):
    """No parameter is left without a gradient, so that every optimizer step does the full work."""
    workload = make(*training_case)
    model = workload.build_model()
    loss = workload.loss(model, workload.make_batch(0))
    loss.backward()
    assert loss.shape == ()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters())


def test_blocks_are_parts_of_the_model(name, make):
    """What is to be sharded or checkpointed belongs to the model."""
    workload = make(name, registry.get(name).spec.modes[0])
    model = workload.build_model()
    modules = set(model.modules())
    assert all(block in modules for block in workload.blocks(model))


def test_generating_workloads_speak_the_cache_protocol():
    """Prefill, decode and rewind exist where the modes need them."""
    for name in registry.BUILT_IN:
        modes = set(registry.get(name).spec.modes)
        assert not modes & {"prefill", "decode", "generate"} or issubclass(
            registry.get(name), GenerativeWorkload
        )


@pytest.mark.parametrize(
    ("name", "mode", "overrides", "message"),
    [
        ("gpt", "train", {"seq": 257}, "gpt train: 257 positions wanted, the model has 256"),
        ("gpt", "generate", {"prompt": 250}, "gpt generate: 265 positions wanted"),
        ("gpt", "decode", {"prompt": 256}, "gpt decode: 257 positions wanted"),
        ("gpt", "train", {"heads": 3}, "hidden 128 does not divide into 3 heads"),
        ("bert", "train", {"seq": 129}, "seq 129 is not within 8 and positions 128"),
        ("bert", "infer", {"heads": 3}, "hidden 128 does not divide into 3 heads"),
        ("bert", "infer", {"vocab": 4}, "vocab 4 does not hold"),
        ("mlp", "infer", {"vocab": 1}, "vocab 1 does not hold"),
        ("resnet", "infer", {"depth": 51}, "depth 51 is not one of 18, 26, 34, 50, 101, 152"),
        (
            "resnet",
            "train",
            {"batch": 1, "image": 32},
            "resnet: .* a batch of 1 needs images of more than 32",
        ),
        (
            "adversarial",
            "train",
            {"batch": 1, "image": 8},
            "adversarial: batch norm cannot train on one value",
        ),
        ("lstm", "train", {"cell": "mlp"}, "cell 'mlp' is not one of lstm, gru, rnn"),
        ("llama", "train", {"seq": 257}, "llama train: 257 positions wanted, the model has 256"),
        ("llama", "train", {"kv_heads": 3}, "4 heads do not divide among 3 kv_heads"),
        ("llama", "train", {"hidden": 132}, "even head size, not 33"),
        ("moe", "train", {"active": 5}, "active 5 is more than the 4 experts"),
        ("moe", "train", {"inner": 100}, "inner 100 is not a multiple of 8"),
        ("translation", "train", {"heads": 3}, "does not divide into 3 heads"),
        ("translation", "generate", {"vocab": 4, "beams": 2}, "vocab 4 does not hold words for 2 beams"),
        ("autoencoder", "train", {"image": 40}, "image 40 is not a multiple of 16"),
        ("dit", "train", {"image": 15}, "image 15 does not divide by patch 2"),
        ("dit", "train", {"hidden": 130, "heads": 2}, "hidden 130 is not a multiple of 4"),
        ("unet", "train", {"widths": "32,48"}, "widths '32,48' are not multiples of 32"),
        ("unet", "train", {"widths": "32,,64"}, "not multiples of 32, separated by commas"),
        ("unet", "train", {"image": 15}, "image 15 does not halve 1 times"),
        ("gan", "train", {"image": 48}, "image 48 is not one of 16, 32, 64"),
        ("gan", "train", {"image": 8}, "image 8 is not one of 16, 32, 64"),
        ("maskgit", "train", {"heads": 3}, "hidden 128 does not divide into 3 heads"),
        ("maskgit", "train", {"rounds": 65}, "65 rounds are more than 64 tokens"),
        ("mamba", "train", {"seq": 40}, "seq 40 is not a multiple of chunk 16"),
        ("mamba", "decode", {"prompt": 40}, "prompt 40 is not a multiple of chunk 16"),
        ("mamba", "train", {"head_size": 48}, "256 does not divide into heads of 48"),
        ("vit", "infer", {"image": 60}, "image 60 does not divide by patch 8"),
        ("vit", "infer", {"heads": 3}, "hidden 128 does not divide by heads 3"),
        ("fasterrcnn", "infer", {"depth": 51}, "depth 51 is not one of 26, 50, 101, 152"),
        ("fasterrcnn", "train", {"classes": 1}, "classes 1 is the background alone"),
        ("fasterrcnn", "infer", {"image": 100}, "image 100 is not a multiple of 32"),
        ("fasterrcnn", "infer", {"proposals": 4096}, "proposals 4096 are more than there are anchors"),
        ("fasterrcnn", "train", {"sampled": 4}, "sampled 4 leave no place beside the objects"),
        ("fasterrcnn", "infer", {"detections": 97}, "detections 97 are more than there can be"),
        ("explanation", "infer", {"method": "shap"}, "method 'shap' is not one of gradients, attention"),
        ("inception", "infer", {"version": 2}, "version 2 is not one of 1, 3"),
        ("inception", "infer", {"version": 3}, "image 64 is smaller than the 75 pixels needed"),
        ("inception", "infer", {"width": 20}, "width 20 is not a multiple of 8"),
        ("whisper", "generate", {"vocab": 1}, "vocab 1 does not hold a word and the end"),
        ("speecht5", "train", {"hidden": 33, "heads": 3}, "need an even hidden, not 33"),
        ("llava", "decode", {"vocab": 1}, "vocab 1 does not hold a word and the image's place"),
    ],
)
def test_sizes_that_cannot_work_are_refused_before_anything_is_built(make, name, mode, overrides, message):
    """The plan finds out by constructing the workload."""
    with pytest.raises(ValueError, match=message):
        make(name, mode, **overrides)


@pytest.mark.parametrize("name", ["gpt", "lstm", "mlp", "bert", "llama", "moe", "skipgram"])
def test_a_text_s_bytes_must_fit_the_vocabulary(make, name, tmp_path):
    """A vocabulary under 256 cannot hold bytes."""
    with pytest.raises(ValueError, match="vocab"):
        make(name, "train", vocab=255, data=tmp_path / "text.txt")
