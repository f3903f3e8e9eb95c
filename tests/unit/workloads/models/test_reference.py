"""Our models against the `transformers` models with the same weights: the same logits."""

from __future__ import annotations

import re

import pytest
import torch

from workloads import registry
from workloads.sizes import resolve_size

transformers = pytest.importorskip("transformers")
TOLERANCE = 1e-4


def randomise(model: torch.nn.Module) -> None:
    """Give every weight, bias and running statistic a value of its own: a swapped pair must show."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.uniform_(0.8, 1.2)
            elif tensor.dim() > 1:
                tensor.normal_(0, min(0.1, (tensor[0].numel()) ** -0.5))
            else:
                tensor.normal_(float("weight" in name and "norm" in name.lower()), 0.1)


def renamed(state, rules):
    """Rename the keys of a state by regular expressions, in order; a rule of None drops the key."""
    out = {}
    for key, tensor in state.items():
        new = key
        for pattern, target in rules:
            if not re.search(pattern, new):
                continue
            if target is None:
                new = None
                break
            new = re.sub(pattern, target, new)
        if new is not None:
            out[new] = tensor
    return out


def fused(state, parts=("q", "k", "v")):
    """Join the separate query, key and value weights into one, in that order."""
    out = {key: tensor for key, tensor in state.items() if not re.search(r"\.[qkv]\.", key)}
    for key in state:
        if ".q." in key:
            joined = torch.cat([state[key.replace(".q.", f".{part}.")] for part in parts])
            out[key.replace(".q.", ".qkv.")] = joined
    return out


def gpt_weights(reference):
    """GPT-2 stores its linear layers transposed."""
    state = {
        key: tensor.T.contiguous() if re.search(r"(c_attn|c_proj|c_fc)\.weight", key) else tensor
        for key, tensor in reference.state_dict().items()
    }
    return renamed(state, [
        (r"lm_head|\.attn\.(masked_)?bias$", None), (r"^transformer\.", ""), (r"^wte", "token"),
        (r"^wpe", "position"), (r"^h\.", "blocks."), (r"ln_f", "norm"), (r"ln_(\d)", r"norm\1"),
        (r"attn\.c_attn", "attention.qkv"), (r"attn\.c_proj", "attention.out"), (r"mlp\.c_fc", "up"),
        (r"mlp\.c_proj", "down"),
    ])  # fmt: skip


def bert_weights(reference):
    """BERT keeps query, key and value apart."""
    return fused(renamed(reference.state_dict(), [
        (r"cls\.predictions\.decoder|position_ids", None),
        (r"^bert\.embeddings\.word_embeddings", "encoder.word"),
        (r"^bert\.embeddings\.position_embeddings", "encoder.position"),
        (r"^bert\.embeddings\.token_type_embeddings", "encoder.segment"),
        (r"^bert\.embeddings\.LayerNorm", "encoder.norm"), (r"^bert\.pooler\.dense", "encoder.pooler"),
        (r"^bert\.encoder\.layer\.", "encoder.blocks."), (r"attention\.self\.query", "q"),
        (r"attention\.self\.key", "k"), (r"attention\.self\.value", "v"),
        (r"attention\.output\.dense", "out"), (r"attention\.output\.LayerNorm", "norm1"),
        (r"intermediate\.dense", "up"), (r"output\.dense", "down"), (r"output\.LayerNorm", "norm2"),
        (r"cls\.predictions\.transform\.dense", "transform"),
        (r"cls\.predictions\.transform\.LayerNorm", "norm"), (r"cls\.predictions\.bias", "bias"),
        (r"cls\.seq_relationship", "next_sentence"), (r"^classifier", "head"),
    ]))  # fmt: skip


def resnet_weights(reference, stages):
    """ResNet numbers its blocks within a stage, and a block's convolutions."""
    parts = ("down", "middle", "up") if reference.config.layer_type == "bottleneck" else ("first", "second")
    first = [sum(stages[:s]) for s in range(4)]

    def block(match):
        return f"blocks.{first[int(match[1])] + int(match[2])}."

    state = {
        re.sub(r"resnet\.encoder\.stages\.(\d)\.layers\.(\d+)\.", block, key): tensor
        for key, tensor in reference.state_dict().items()
    }
    return renamed(state, [
        (r"resnet\.embedder\.embedder", "stem"), *((rf"layer\.{i}\.", f"{p}.") for i, p in enumerate(parts)),
        (r"\.convolution\.", ".0."), (r"\.normalization\.", ".1."), (r"classifier\.1", "head"),
    ])  # fmt: skip


def llama_weights(reference):
    """Llama keeps query, key, value apart, and the two halves of its gated network."""
    state = fused(renamed(reference.state_dict(), [
        (r"^model\.", ""), (r"embed_tokens", "token"), (r"^layers\.", "blocks."), (r"lm_head", "head"),
        (r"input_layernorm", "norm1"), (r"post_attention_layernorm", "norm2"),
        (r"self_attn\.([qkv])_proj", r"attention.\1"), (r"self_attn\.o_proj", "attention.out"),
        (r"mlp\.", "network."), (r"down_proj", "down"),
    ]))  # fmt: skip
    for key in [key for key in state if "gate_proj" in key]:
        up = state.pop(key.replace("gate_proj", "up_proj"))
        state[key.replace("gate_proj", "gate_up")] = torch.cat([state.pop(key), up])
    return state


def mixtral_weights(reference):
    """Mixtral's experts lie in one weight each, as ours do."""
    return renamed(llama_weights(reference), [
        (r"network\.gate\.", "network.router."), (r"network\.experts\.gate_up_proj", "network.gate_up"),
        (r"network\.experts\.down", "network.down"),
    ])  # fmt: skip


def translation_weights(reference):
    """Torch's own transformer joins query, key and value, also where they read different sequences."""
    state = {}
    for key, tensor in reference.items():
        new = re.sub(r"layers\.", "", key)
        for pattern, target in (
            (r"self_attn", "attention"), (r"multihead_attn", "source"), (r"out_proj", "out"),
            (r"linear1", "up"), (r"linear2", "down"),
        ):  # fmt: skip
            new = new.replace(pattern, target)
        if "in_proj" in new:
            hidden = len(tensor) // 3
            state[new.replace("in_proj_", "q.")] = tensor[:hidden]
            state[new.replace("in_proj_", "kv.")] = tensor[hidden:]
        else:
            state[new] = tensor
    return state


def vit_weights(reference):
    """ViT keeps query, key and value apart."""
    return fused(renamed(reference.state_dict(), [
        (r"^vit\.embeddings\.cls_token", "first"), (r"^vit\.embeddings\.position_embeddings", "position"),
        (r"^vit\.embeddings\.patch_embeddings\.projection", "project"), (r"^vit\.layernorm", "norm"),
        (r"^vit\.layers\.", "blocks."), (r"attention\.([qkv])_proj", r"attention.\1"),
        (r"attention\.o_proj", "attention.out"), (r"mlp\.fc1", "up"), (r"mlp\.fc2", "down"),
        (r"layernorm_before", "norm1"), (r"layernorm_after", "norm2"),
        (r"^classifier", "head"),
    ]))  # fmt: skip


def ours(name: str, mode: str, **sizes) -> torch.nn.Module:
    """Build our model at small sizes, for inference."""
    kind = registry.get(name)
    return kind(mode, resolve_size(kind.spec, "tiny", sizes)).build_model().eval()


def assert_close(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    """Compare logits that differ among themselves."""
    assert mine.shape == theirs.shape
    assert float(theirs.std()) > 0.05  # logits that are all alike would prove nothing
    assert float((mine - theirs).abs().max()) < TOLERANCE


SIZES = {"vocab": 384, "positions": 128, "hidden": 96, "layers": 3, "heads": 4}


@torch.no_grad()
def test_gpt_gives_the_logits_of_gpt2():
    """GPT-2 as `transformers` has it, with our weights renamed into place."""
    reference = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=SIZES["vocab"], n_positions=SIZES["positions"], n_embd=SIZES["hidden"],
        n_layer=SIZES["layers"], n_head=SIZES["heads"], bos_token_id=0, eos_token_id=0,
    )).eval()  # fmt: skip
    randomise(reference)
    model = ours("gpt", "train", **SIZES)
    model.load_state_dict(gpt_weights(reference))
    tokens = torch.randint(SIZES["vocab"], (3, 50))
    assert_close(model(tokens), reference(tokens).logits)
    assert_close(model(tokens, last_only=True), reference(tokens).logits[:, -1])


@torch.no_grad()
def test_llama_gives_the_logits_of_llama():
    """Rotary positions, four query heads over two key heads, gated network, in fp32."""
    shape = {"vocab": 101, "hidden": 48, "inner": 80, "layers": 3, "heads": 4, "kv_heads": 2, "theta": 10_000}
    reference = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=101, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )).eval()  # fmt: skip
    randomise(reference)
    model = ours("llama", "train", **shape)
    model.load_state_dict(llama_weights(reference))
    tokens = torch.randint(101, (3, 50))
    assert_close(model(tokens), reference(tokens).logits)
    assert_close(model(tokens, last_only=True), reference(tokens).logits[:, -1])


@torch.no_grad()
def test_the_mixture_of_experts_gives_the_logits_of_mixtral():
    """Every expert is chosen by some token, and weighted as the router says."""
    reference = transformers.MixtralForCausalLM(transformers.MixtralConfig(
        vocab_size=101, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, num_local_experts=5, num_experts_per_tok=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )).eval()  # fmt: skip
    randomise(reference)
    shape = {"vocab": 101, "hidden": 48, "inner": 80, "layers": 3, "heads": 4, "kv_heads": 2, "theta": 10_000}
    model = ours("moe", "train", **shape, experts=5, active=2)
    model.load_state_dict(mixtral_weights(reference))
    tokens = torch.randint(101, (3, 50))
    assert_close(model(tokens), reference(tokens).logits)


@torch.no_grad()
def test_translation_is_torch_s_own_transformer():
    """Encoder and decoder, post-norm, over sources of uneven length."""
    torch.manual_seed(0)
    sizes = {"d_model": 48, "nhead": 4, "dim_feedforward": 80, "dropout": 0.0, "batch_first": True}
    encoder = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(**sizes), 2, enable_nested_tensor=False
    )
    decoder = torch.nn.TransformerDecoder(torch.nn.TransformerDecoderLayer(**sizes), 2)
    for module in (encoder, decoder):
        randomise(module)
        module.eval()
    model = ours("translation", "train", vocab=101, hidden=48, inner=80, layers=2, heads=4)
    model.encoder.load_state_dict(translation_weights(encoder.state_dict()))
    model.decoder.load_state_dict(translation_weights(decoder.state_dict()))
    sources, before = torch.randint(101, (3, 20)), torch.randint(101, (3, 15))
    mask = torch.arange(20) < torch.tensor([20, 11, 14])[:, None]
    at = torch.arange(20.0)[:, None] / 10_000 ** (torch.arange(0, 48, 2) / 48)
    waves = torch.stack((at.sin(), at.cos()), 2).flatten(1)

    def embed(tokens):
        return model.token.weight[tokens] * 48**0.5 + waves[: tokens.shape[1]]

    memory = encoder(embed(sources), src_key_padding_mask=~mask)
    later = torch.ones(15, 15).triu(1).bool()
    theirs = decoder(embed(before), memory, tgt_mask=later, memory_key_padding_mask=~mask)
    assert_close(model(before, (sources, mask))[0], theirs @ model.token.weight.T)


@torch.no_grad()
def test_mamba_gives_the_logits_of_mamba_2():
    """Chunks of another length than the reference's, over a sequence of several."""
    reference = transformers.Mamba2ForCausalLM(transformers.Mamba2Config(
        vocab_size=101, hidden_size=48, num_hidden_layers=3, state_size=16, head_dim=24, num_heads=4,
        expand=2, n_groups=1, conv_kernel=4, chunk_size=20, tie_word_embeddings=True,
    )).eval()  # fmt: skip
    randomise(reference)
    model = ours("mamba", "train", vocab=101, hidden=48, layers=3, state=16, head_size=24, chunk=8)
    model.load_state_dict(renamed(reference.state_dict(), [
        (r"lm_head", None), (r"^backbone\.", ""), (r"embeddings", "token"), (r"^layers", "blocks"),
        (r"in_proj", "project"), (r"out_proj", "out"), (r"conv1d", "convolution"), (r"dt_bias", "step_bias"),
        (r"A_log", "log_rate"), (r"mixer\.D", "mixer.skip"), (r"norm_f", "norm"),
    ]))  # fmt: skip
    tokens = torch.randint(101, (3, 40))
    assert_close(model(tokens)[0], reference(tokens).logits)


@torch.no_grad()
def test_vit_gives_the_logits_of_vit():
    """Patches, class token, and as many positions as there are."""
    reference = transformers.ViTForImageClassification(transformers.ViTConfig(
        image_size=48, patch_size=8, hidden_size=48, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=192, num_labels=7,
    )).eval()  # fmt: skip
    randomise(reference)
    model = ours("vit", "infer", image=48, patch=8, hidden=48, layers=3, heads=4, classes=7)
    model.load_state_dict(vit_weights(reference))
    images = torch.randn(2, 3, 48, 48)
    assert_close(model(images), reference(images).logits)


def bert_reference(kind, **more):
    """Build a small reference BERT."""
    return kind(transformers.BertConfig(
        vocab_size=SIZES["vocab"], max_position_embeddings=SIZES["positions"], hidden_size=SIZES["hidden"],
        num_hidden_layers=SIZES["layers"], num_attention_heads=SIZES["heads"],
        intermediate_size=4 * SIZES["hidden"], **more,
    )).eval()  # fmt: skip


def bert_inputs():
    """Return tokens, segments and mask of three rows of uneven length."""
    tokens, segments = torch.randint(SIZES["vocab"], (3, 40)), torch.randint(2, (3, 40))
    mask = torch.arange(40) < torch.tensor([40, 23, 31])[:, None]
    return tokens, segments, mask


@torch.no_grad()
def test_bert_gives_the_pre_training_logits_of_bert():
    """Masked words and next sentence, over rows of uneven length."""
    reference = bert_reference(transformers.BertForPreTraining)
    randomise(reference)
    model = ours("bert", "train", **SIZES)
    model.load_state_dict(bert_weights(reference))
    tokens, segments, mask = bert_inputs()
    theirs = reference(tokens, attention_mask=mask.long(), token_type_ids=segments)
    at = torch.tensor([[0, 7, 39], [22, 3, 1], [30, 2, 2]])
    words, following = model(tokens, segments, mask, at)
    assert_close(words, theirs.prediction_logits.gather(1, at[:, :, None].expand(-1, -1, SIZES["vocab"])))
    assert_close(following, theirs.seq_relationship_logits)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bert", transformers.BertForSequenceClassification),
        ("ner", transformers.BertForTokenClassification),
    ],
)
def test_bert_gives_the_classes_of_bert(name, kind):
    """Of sequences and of words, over rows of uneven length."""
    reference = bert_reference(kind, num_labels=5)
    randomise(reference)
    model = ours(name, "infer", **SIZES, classes=5)
    model.load_state_dict(bert_weights(reference))
    tokens, segments, mask = bert_inputs()
    theirs = reference(tokens, attention_mask=mask.long(), token_type_ids=segments)
    assert_close(model(tokens, segments, mask), theirs.logits)


@pytest.mark.parametrize(("depth", "stages"), [(50, (3, 4, 6, 3)), (18, (2, 2, 2, 2))])
@torch.no_grad()
def test_resnet_gives_the_logits_of_the_reference(depth, stages):
    """ResNet-50 of bottlenecks and ResNet-18 of basic blocks, at their full width and depth."""
    shape = {"layer_type": "basic", "hidden_sizes": [64, 128, 256, 512]} if depth == 18 else {}
    config = transformers.ResNetConfig(num_labels=1000, depths=list(stages), **shape)
    reference = transformers.ResNetForImageClassification(config).eval()
    randomise(reference)
    model = ours("resnet", "infer", depth=depth, width=64, classes=1000)
    model.load_state_dict(resnet_weights(reference, stages))
    images = torch.randn(2, 3, 96, 96)
    assert_close(model(images), reference(images).logits)


def test_the_base_sizes_have_the_reference_s_shapes():
    """GPT-2 small, BERT-base and ViT-B/16, weight by weight, without memory."""
    with torch.device("meta"):
        pairs = [
            ("gpt", "train", gpt_weights(transformers.GPT2LMHeadModel(transformers.GPT2Config()))),
            ("bert", "train", bert_weights(transformers.BertForPreTraining(transformers.BertConfig()))),
            (
                "vit",
                "infer",
                vit_weights(transformers.ViTForImageClassification(transformers.ViTConfig(num_labels=1000))),
            ),
        ]
        for name, mode, weights in pairs:
            kind = registry.get(name)
            model = kind(mode, resolve_size(kind.spec, "base", {})).build_model()
            assert {k: v.shape for k, v in model.state_dict().items()} == {
                k: v.shape for k, v in weights.items()
            }
