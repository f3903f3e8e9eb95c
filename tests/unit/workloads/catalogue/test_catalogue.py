"""The whole catalogue: parameters and FLOPs of every base size, by closed form and as published."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from workloads import registry
from workloads.counting import flops
from workloads.counting.torch_counter import counted

CATALOGUE = [
    name
    for name in registry.BUILT_IN
    if registry.get(name).spec.family not in {"micro", "selftest", "served", "user"}
    and not name.endswith("_jax")  # the models of gpt and resnet again, by hand in JAX
]
PARAMETERS = [
    ("resnet", "train", "base", 25_557_032),  # ResNet-50
    ("resnet", "train", "large", 60_192_808),  # ResNet-152
    ("bert", "train", "base", 110_106_428),  # with pooler, masked-word and next-sentence heads
    ("bert", "infer", "base", 109_483_778),  # with pooler and a two-class head
    ("bert", "train", "large", 336_226_108),
    ("ner", "finetune", "base", 108_898_569),  # without pooler, nine classes a word
    ("ner", "finetune", "large", 334_101_513),
    ("gpt", "train", "base", 124_439_808),  # output layer tied
    ("gpt", "train", "large", 1_557_611_200),
    ("gpt", "train", "gpt3", 174_604_259_328),  # GPT-3 175B, on meta for planning
    ("llama", "train", "base", 8_030_261_248),  # Llama 3 8B
    ("llama", "train", "large", 70_553_706_496),  # Llama 3 70B
    ("moe", "train", "base", 46_702_792_704),  # Mixtral 8x7B
    ("moe", "train", "large", 140_630_071_296),  # Mixtral 8x22B
    ("translation", "train", "base", 63_082_496),  # 65 M published, of another vocabulary
    ("translation", "train", "large", 214_245_376),  # 213 M published, of another vocabulary
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
    ("fasterrcnn", "train", "large", 41_755_286 + 18_992_128 - 52_224),  # ResNet-101, batch norms constant
    ("inception", "infer", "base", 6_998_552),  # GoogLeNet
    ("inception", "train", "base", 13_378_280),  # with both auxiliary classifiers
    ("inception", "infer", "large", 23_834_568),  # Inception v3
    ("inception", "train", "large", 27_161_264),  # with the auxiliary classifier
    ("adversarial", "train", "base", 25_557_032),  # ResNet-50
    ("adversarial", "train", "large", 60_192_808),  # ResNet-152
    ("explanation", "infer", "base", 86_567_656),  # ViT-B/16
    ("explanation", "infer", "large", 304_326_632),  # ViT-L/16
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
    ("detr", "train", "large", 41_524_768 + 18_992_128 - 52_224),  # with ResNet-101, 60 M
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


def gan(s) -> int:
    """DCGAN: 4x4 convolutions up from a vector and down to a number, norms between them."""
    widths = [s["width"] << stage for stage in range((s["image"] // 4).bit_length() - 1)]
    ends, inner = 16 * 3 * widths[0], sum(16 * i * o for i, o in pairwise(widths))
    generator = 16 * s["latent"] * widths[-1] + inner + ends + 2 * sum(widths)
    return generator + ends + inner + 2 * sum(widths[1:]) + 16 * widths[-1]


def maskgit(s) -> int:
    """Layers of 12·d² + 13·d, one table of codes, mask and classes, positions, and the output's layer."""
    d, layers = s["hidden"], s["layers"] * (12 * s["hidden"] ** 2 + 13 * s["hidden"])
    rows = s["codes"] + 1 + s["classes"] + s["seq"] + 1
    return layers + rows * d + d**2 + 5 * d + s["codes"]


def speecht5(s) -> int:
    """Encoder with relative positions, decoder, what reads and writes mel frames."""
    d, inner, mels, before, after = s["hidden"], s["inner"], s["mels"], 256, 256
    attention, network, norm = 4 * (d**2 + d), 2 * d * inner + d + inner, 2 * d
    encoder = s["layers"] * (attention + network + 2 * norm) + norm + 320 * d // s["heads"]
    decoder = s["decoder_layers"] * (2 * attention + network + 3 * norm)
    reads = mels * before + before + before**2 + before + before * d + d + (d + s["speaker"]) * d + d
    widths = [mels, after, after, after, after, mels]
    writes = sum(5 * i * o + 2 * o for i, o in pairwise(widths)) + 2 * (d + 1) * (mels + 1)
    return encoder + decoder + s["vocab"] * d + reads + writes + 2


CLOSED_FORMS = {
    each.__name__: each for each in (mlp, lstm, skipgram, dlrm, autoencoder, gan, maskgit, speecht5)
}
"""Of the models that nobody published in both sizes."""


def parameters(workload) -> int:
    """Count them on the meta device; tied weights count once."""
    with torch.device("meta"):
        return sum(p.numel() for p in workload.build_model().parameters())


def test_every_model_of_the_catalogue_has_a_count():
    """A new workload's sizes are held to a published count or to a closed form."""
    for wanted in ("base", "large"):
        assert {name for name, _, size, _ in PARAMETERS if size == wanted} | set(CLOSED_FORMS) == set(
            CATALOGUE
        )


@pytest.mark.parametrize(("name", "mode", "size", "expected"), PARAMETERS)
def test_parameter_counts_are_the_published_ones(make, name, mode, size, expected):
    """Weight by weight, up to 175 billion."""
    assert parameters(make(name, mode, size)) == expected


@pytest.mark.parametrize("size", ["base", "large"])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_parameter_counts_are_those_of_the_closed_form(make, name, size):
    """Of both sizes that are measured."""
    workload = make(name, "train", size)
    assert parameters(workload) == CLOSED_FORMS[name](workload.size)


FORWARD = {
    **dict.fromkeys(("gpt", "llama", "moe", "mamba", "llava"), "prefill"),
    **dict.fromkeys(("translation", "t5", "whisper", "speecht5", "skipgram", "lstm"), "train"),
}
"""The mode whose forward pass is counted, where it is not inference."""
CAUSAL = {
    **dict.fromkeys(("gpt", "llama", "moe"), lambda w: (w.n("prompt"), w.n("hidden"), w.n("layers"))),
    "llava": lambda w: (w.n("prompt") + 576, w.n("text_hidden"), w.n("text_layers")),
    "translation": lambda w: (w.n("seq"), w.n("hidden"), w.n("layers")),
    "t5": lambda w: (w.n("target_seq"), w.n("heads") * w.n("head_size"), w.n("layers")),
    "whisper": lambda w: (w.n("target_seq"), w.n("hidden"), w.n("layers")),
    "speecht5": lambda w: (w.n("frames") // 2, w.n("hidden"), w.n("decoder_layers")),
    "clip": lambda w: (w.n("seq"), w.n("text_hidden"), w.n("text_layers")),
}
"""Positions, width and layers of causal attention, whose upper half torch counts and we do not."""
READS_BACK = {"detr": {"image": 320}, "speecht5": {"seq": 16, "frames": 32}}
"""These read numbers from the device, so that they run, over less."""
FEWER = {
    "adversarial": {"steps": 1},
    "explanation": {"steps": 2},
    "maskgit": {"rounds": 2},
    "lstm": {"seq": 8},
}
"""What is the same again and again is done fewer times."""


@pytest.mark.parametrize("size", ["base", pytest.param("large", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CATALOGUE)
def test_the_flops_of_a_model_s_forward_pass_are_what_torch_counts(make, name, size):
    """Two samples through the full width and depth, without memory wherever the model allows."""
    mode = FORWARD.get(name, "infer")
    workload = make(name, mode, size, batch=2, **(FEWER | READS_BACK).get(name, {}))
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
    if name in CAUSAL:
        positions, hidden, layers = CAUSAL[name](workload)
        forward += flops.attention(2, positions, positions, hidden, layers, causal=True)
    with torch.no_grad():
        assert counted(run) == pytest.approx(forward, rel=1e-12)
