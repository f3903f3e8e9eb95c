"""The whole catalogue: parameters and FLOPs of every base size, by closed form and as published."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from workloads import flops, registry
from workloads.counting import counted

CATALOGUE = [
    name for name in registry.BUILT_IN if registry.get(name).spec.family not in {"micro", "selftest", "user"}
]
PARAMETERS = [
    ("resnet", "train", "base", 25_557_032),  # ResNet-50
    ("resnet", "train", "large", 60_192_808),  # ResNet-152
    ("bert", "train", "base", 110_106_428),  # with pooler, masked-word and next-sentence heads
    ("bert", "infer", "base", 109_483_778),  # with pooler and a two-class head
    ("bert", "train", "large", 336_226_108),
    ("ner", "finetune", "base", 108_898_569),  # without pooler, nine classes a word
    ("gpt", "train", "base", 124_439_808),  # output layer tied
    ("gpt", "train", "large", 1_557_611_200),
    ("gpt", "train", "gpt3", 174_604_259_328),  # GPT-3 175B, on meta for planning
    ("llama", "train", "base", 8_030_261_248),  # Llama 3 8B
    ("llama", "train", "large", 70_553_706_496),  # Llama 3 70B
    ("moe", "train", "base", 46_702_792_704),  # Mixtral 8x7B
    ("moe", "train", "large", 140_630_071_296),  # Mixtral 8x22B
    ("translation", "train", "base", 63_082_496),  # 65 M published, of another vocabulary
    ("dit", "train", "large", 674_834_720),  # DiT-XL/2: 675.1 M with its fixed positions, 256·1152
    ("unet", "train", "base", 35_746_307),  # DDPM for CIFAR-10, 35.7 M
    ("unet", "train", "large", 113_673_219),  # DDPM for images of 256 pixels, 114 M
    ("gan", "train", "base", 3_576_704 + 2_765_568),  # DCGAN's generator and discriminator
    ("maskgit", "train", "base", 172_456_192),  # 227 M published, its image tokenizer among them
    ("mamba", "train", "base", 128_989_632),  # Mamba-2 130M
    ("mamba", "train", "large", 2_702_599_680),  # Mamba-2 2.7B
    ("vit", "train", "base", 86_567_656),  # ViT-B/16
    ("vit", "train", "large", 304_326_632),  # ViT-L/16
    ("fasterrcnn", "train", "base", 41_755_286),  # ResNet-50 FPN, 91 classes
    ("inception", "infer", "base", 6_998_552),  # GoogLeNet
    ("inception", "train", "base", 13_378_280),  # with both auxiliary classifiers
    ("inception", "infer", "large", 23_834_568),  # Inception v3
    ("inception", "train", "large", 27_161_264),  # with the auxiliary classifier
    ("adversarial", "train", "base", 25_557_032),  # ResNet-50
    ("explanation", "infer", "base", 86_567_656),  # ViT-B/16
    ("dit", "train", "base", 130_315_808),  # DiT-B/2: 130.5 M with its fixed positions, 256·768
    ("t5", "train", "base", 222_903_552),  # T5-base, 222.9 M
    ("t5", "train", "large", 2_851_598_336),  # T5-3B
    ("whisper", "train", "base", 241_734_912),  # Whisper-small, 241.7 M
    ("whisper", "train", "large", 1_543_490_560),  # Whisper-large-v3
    ("clip", "train", "base", 151_277_313),  # CLIP ViT-B/32, 151.3 M
    ("clip", "train", "large", 427_616_513),  # CLIP ViT-L/14
    ("wav2vec2", "train", "base", 94_395_552),  # wav2vec2-base, 94.4 M, without the mask's vector of 768
    ("wav2vec2", "train", "large", 315_470_496),  # wav2vec2-large, likewise
    ("llava", "train", "base", 7_063_427_072),  # LLaVA 1.5 7B
    ("llava", "train", "large", 13_351_494_656),  # LLaVA 1.5 13B
    ("detr", "train", "base", 41_524_768),  # DETR with ResNet-50, 41.5 M; its batch norms are constants
    ("speecht5", "train", "base", 144_431_684),  # SpeechT5, 144 M
]
"""As published, or with the difference explained: (name, mode, size, parameters)."""


def mlp(s) -> int:
    """A table, hidden layers, a classifier."""
    widths = [s["hidden"], *[s["width"]] * s["layers"], s["classes"]]
    return s["vocab"] * s["hidden"] + sum(i * o + o for i, o in pairwise(widths))


def lstm(s) -> int:
    """Four gates over input and state with two biases, a tied table, a bias a word."""
    return s["layers"] * 4 * (2 * s["hidden"] ** 2 + 2 * s["hidden"]) + s["vocab"] * (s["hidden"] + 1)


def skipgram(s) -> int:
    """Two tables."""
    return 2 * s["vocab"] * s["hidden"]


def dlrm(s) -> int:
    """Tables of rows·d, and networks 13-512-256-d and (d + pairs)-1024-512-256-1."""
    vectors, d = s["tables"] + 1, s["hidden"]
    dense, over = [13, 512, 256, d], [d + vectors * (vectors - 1) // 2, 1024, 512, 256, 1]
    networks = sum(i * o + o for widths in (dense, over) for i, o in pairwise(widths))
    return s["tables"] * s["rows"] * d + networks


def autoencoder(s) -> int:
    """Four 4x4 convolutions down and up, and the vector between them."""
    widths = [3, *(s["width"] << stage for stage in range(4))]
    down = sum(16 * i * o + o for i, o in pairwise(widths))
    up = sum(16 * i * o + o for i, o in pairwise(reversed(widths)))
    features = widths[-1] * (s["image"] >> 4) ** 2
    return down + up + 2 * features * s["latent"] + s["latent"] + features


CLOSED_FORMS = {each.__name__: each for each in (mlp, lstm, skipgram, dlrm, autoencoder)}
"""Of the models that nobody published under one size."""


def parameters(workload) -> int:
    """Count them on the meta device; tied weights count once."""
    with torch.device("meta"):
        return sum(p.numel() for p in workload.build_model().parameters())


def test_every_model_of_the_catalogue_has_a_count():
    """A new workload's base size is held to a published count or to a closed form."""
    assert {name for name, _, size, _ in PARAMETERS if size == "base"} | set(CLOSED_FORMS) == set(CATALOGUE)


@pytest.mark.parametrize(("name", "mode", "size", "expected"), PARAMETERS)
def test_parameter_counts_are_the_published_ones(make, name, mode, size, expected):
    """Weight by weight, up to 175 billion."""
    assert parameters(make(name, mode, size)) == expected


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_parameter_counts_are_those_of_the_closed_form(make, name):
    """Of the base size."""
    workload = make(name, "train", "base")
    assert parameters(workload) == CLOSED_FORMS[name](workload.size)


def triangle(rows: int, seq: int, hidden: int, layers: int) -> float:
    """The upper half of causal attention, which torch counts and the closed form does not."""
    return flops.attention(rows, seq, seq, hidden, layers, causal=True)


FORWARD = {
    "gpt": ("prefill", triangle(2, 512, 768, 12)),
    "llama": ("prefill", triangle(2, 1024, 4096, 32)),
    "moe": ("prefill", triangle(2, 1024, 4096, 32)),
    "mamba": ("prefill", 0.0),
    "llava": ("prefill", triangle(2, 640, 4096, 32)),
    "translation": ("train", triangle(2, 64, 512, 6)),
    "t5": ("train", triangle(2, 128, 768, 12)),
    "whisper": ("train", triangle(2, 128, 768, 12)),
    "speecht5": ("train", triangle(2, 16, 768, 6)),
    "clip": ("infer", triangle(2, 77, 512, 12)),
    "skipgram": ("train", 0.0),
    "lstm": ("train", 0.0),
}
"""The mode whose forward pass is counted, where it is not inference, and what causal attention leaves out."""
READS_BACK = {"detr": {"image": 320}, "speecht5": {"seq": 16, "frames": 32}}
"""These read numbers from the device, so that they run, over less."""
FEWER = {
    "adversarial": {"steps": 1},
    "explanation": {"steps": 2},
    "maskgit": {"rounds": 2},
    "lstm": {"seq": 8},
}
"""What is the same again and again is done fewer times."""


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_flops_of_a_base_model_s_forward_pass_are_what_torch_counts(make, name):
    """Two samples through the full width and depth, without memory wherever the model allows."""
    mode, causal = FORWARD.get(name, ("infer", 0.0))
    workload = make(name, mode, "base", batch=2, **(FEWER | READS_BACK).get(name, {}))
    batch, device = workload.make_batch(0), torch.device("cpu" if name in READS_BACK else "meta")
    shadow = {key: tensor.to(device) for key, tensor in batch.items()}
    with device:
        model = workload.build_model().eval().requires_grad_(requires_grad=False)
        if name == "moe":
            model.bfloat16()  # torch has no formula of grouped products in fp32 on meta

    def run() -> None:
        with device:
            if mode == "prefill":
                workload.prefill(model, shadow, batch["tokens"].shape[1])
            else:
                (workload.loss if mode == "train" else workload.infer)(model, shadow)

    forward = workload.units(batch).flops / (flops.TRAIN_FACTOR if mode == "train" else 1.0)
    with torch.no_grad():
        assert counted(run) == pytest.approx(forward + causal, rel=1e-12)
