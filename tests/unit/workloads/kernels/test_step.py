"""A decoder's whole step in one call of C, against the same model in fp64."""

import copy

import pytest
import torch
from torch import nn

from workloads.kernels import block as block_kernel
from workloads.kernels import library
from workloads.kernels import step as step_kernel
from workloads.kernels.linear import FEW
from workloads.kernels.packed import Int4Linear, Int8Linear, Int8Table
from workloads.kernels.use import use_kernels
from workloads.models.gpt import GPT, RaggedCache

pytestmark = pytest.mark.usefixtures("kernels")
HALF = {torch.float32: 3e-6, torch.bfloat16: 2e-2}
"""Relative error of logits in each format; between a block's parts it rounds to that format."""
VOCAB, CAPACITY = 50, 21


@pytest.fixture
def calls(monkeypatch):
    """Collect what a step asks of C, whole or block by block."""
    found = []
    for module in (block_kernel, step_kernel):
        whole = module.run
        monkeypatch.setattr(
            module, "run", lambda *given, whole=whole: (found.append(given[0]), whole(*given))
        )
    return found


def model_of():
    """Return a model of three layers."""
    return GPT(vocab=VOCAB, positions=24, hidden=96, layers=3, heads=2)


def made(dtype, pack=None):
    """Return a model that calls C, its weights of a trained one's size, and the same in fp64."""
    torch.manual_seed(6)
    model = model_of()
    for parameter in model.parameters():
        parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.dim() == 2 else 0.5))
    model.to(dtype).requires_grad_(requires_grad=False)
    if pack is not None:
        for block in model.blocks:
            for parent, name in (
                (block.attention, "qkv"),
                (block.attention, "out"),
                (block, "up"),
                (block, "down"),
            ):
                layer = getattr(parent, name)
                setattr(parent, name, pack(layer.weight, layer.bias))
        model.token = Int8Table(model.token)
    exact = model_of().double()
    for name, mine in model.named_modules():
        if hasattr(mine, "weight") and name != "token.words":
            theirs = exact.get_submodule(name)
            theirs.weight.copy_(mine.weight)
            if getattr(mine, "bias", None) is not None:
                theirs.bias.copy_(mine.bias)
    use_kernels(model, attention=True)
    return model, exact


def filled(model, rows, length):
    """Return a cache with numbers in every place; the same in any format."""
    random = torch.Generator().manual_seed(5)
    cache = model.empty_cache(rows, CAPACITY)
    for whole in (cache.keys, cache.values):
        whole.copy_(torch.randn(whole.shape, generator=random).bfloat16())
    return cache._replace(length=length)


def error(found, expected):
    """Relative error in the 2-norm."""
    return float((found.double() - expected).norm() / expected.norm())


PACKS = {
    "plain": None,
    "int8": Int8Linear,
    "int4": lambda weight, bias: Int4Linear(weight, bias, 32),
}
TOKENS = torch.tensor([[49], [3], [17]])


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("kind", PACKS)
@pytest.mark.parametrize(("rows", "threads"), [(1, 1), (3, 2)])
def test_a_step_is_what_its_model_says(calls, dtype, kind, rows, threads):
    """Logits and cache, at the first position and at the last; nothing else of the cache is written."""
    if kind != "plain" and not library.packs():
        pytest.skip("no AVX-512 VNNI")
    torch.set_num_threads(threads)
    model, exact = made(dtype, PACKS[kind])
    for length in (0, 17, CAPACITY - 1):
        cache, reference = (filled(one, rows, length) for one in (model, exact))
        logits = model(TOKENS[:rows], cache, last_only=True)
        assert logits.shape == (rows, VOCAB)
        assert logits.dtype == dtype
        assert error(logits, exact(TOKENS[:rows], reference, last_only=True)) < HALF[dtype]
        for mine, theirs in ((cache.keys, reference.keys), (cache.values, reference.values)):
            assert error(mine[:, :, :, length], theirs[:, :, :, length]) < HALF[dtype]
            mine[:, :, :, length] = theirs[:, :, :, length] = 0
            assert torch.equal(mine.double(), theirs)
    assert calls == ["decoder_step"] * 3


def test_one_call_is_what_many_are(calls):
    """Of the cache; torch's own last norm rounds logits otherwise."""
    model, _ = made(torch.float32)
    whole, parts = (filled(model, 2, 7) for _ in range(2))
    logits = model(TOKENS[:2], whole, last_only=True)
    model.one_step = None
    torch.testing.assert_close(logits, model(TOKENS[:2], parts, last_only=True), rtol=1e-5, atol=1e-5)
    assert torch.equal(whole.keys, parts.keys)
    assert torch.equal(whole.values, parts.values)
    assert calls == ["decoder_step", *["decoder_block"] * 3]


@pytest.mark.parametrize("dtype", HALF)
def test_sequences_of_unlike_lengths(calls, dtype):
    """Each has its own position, sees its own keys, and writes behind them."""
    model, exact = made(dtype)
    lengths = torch.tensor([0, 16, 19])
    cache, reference = (filled(one, 3, 0).ragged(lengths, 19, masked=False) for one in (model, exact))
    reference = RaggedCache(*reference[:4], masked=True)
    expected = exact(TOKENS, reference, last_only=True)
    assert error(model(TOKENS, cache, last_only=True), expected) < HALF[dtype]
    assert error(cache.keys, reference.keys) < HALF[dtype]
    assert calls == ["decoder_step"]


@pytest.mark.parametrize("kind", PACKS)
def test_a_token_or_a_position_that_no_table_has(kind):
    """Is an error, as in torch, and not what lies beside it in memory."""
    if kind != "plain" and not library.packs():
        pytest.skip("no AVX-512 VNNI")
    model, _ = made(torch.float32, PACKS[kind])
    for beyond in (VOCAB, -1, 1 << 40):
        with pytest.raises(IndexError, match="row that the table has not"):
            model(torch.tensor([[beyond]]), filled(model, 1, 3), last_only=True)
    with pytest.raises(IndexError, match="row that the table has not"):
        model(TOKENS[:1], model.empty_cache(1, 30)._replace(length=24), last_only=True)


class Unlike(nn.Linear):
    """A layer that C does not know."""


def unknown(model):
    """Let a layer be of that kind."""
    model.blocks[1].up.__class__ = Unlike


def hooked(model):
    """Ask for the calls of a block."""
    model.blocks[1].register_forward_hook(lambda *_given: None)


def other_table(model):
    """Let the positions be a table that C does not know."""
    model.position.__class__ = type("Other", (nn.Embedding,), {})


def later(model):
    """Let the sequence begin elsewhere."""
    model.first_position = 1


@pytest.mark.parametrize(
    ("change", "by_block"),
    [(unknown, 2), (hooked, 3), (other_table, 3), (later, 3)],
    ids=["unknown", "hooked", "other_table", "later"],
)
def test_c_runs_the_blocks_of_a_model_that_it_does_not_know_whole(calls, change, by_block):
    """Another layer, somebody who wants to see a part's calls, another table, another position."""
    model, exact = made(torch.float32)
    change(model)
    exact.first_position = model.first_position
    cache, reference = (filled(one, 2, 3) for one in (model, exact))
    expected = exact(TOKENS[:2], reference, last_only=True)
    assert error(model(TOKENS[:2], cache, last_only=True), expected) < HALF[torch.float32]
    assert calls == ["decoder_block"] * by_block


def test_a_hook_of_a_part_sees_its_calls(calls):
    """Before the call and behind it, of a block and of what is around the blocks."""
    model, _ = made(torch.float32)
    cache, seen = filled(model, 1, 3), []
    for part, hook in (
        (model.norm, lambda *_given: seen.append("norm")),
        (model.blocks[2], lambda *_given: seen.append("block")),
    ):
        model(TOKENS[:1], cache, last_only=True)
        for register in (part.register_forward_hook, part.register_forward_pre_hook):
            handle = register(hook)
            model(TOKENS[:1], cache, last_only=True)
            handle.remove()
    assert seen == ["norm"] * 2 + ["block"] * 2
    assert calls == ["decoder_step", *["decoder_block"] * 6] * 2


def test_many_rows_several_positions_and_a_full_cache_are_torch_s(calls):
    """C neither reads tokens side by side nor writes behind the cache."""
    model, exact = made(torch.float32)
    for rows, positions in ((FEW[torch.float32] + 1, 1), (2, 2)):
        tokens = torch.arange(rows * positions).view(rows, positions)
        cache, reference = (filled(one, rows, 3) for one in (model, exact))
        expected = exact(tokens, reference, last_only=True)
        assert error(model(tokens, cache, last_only=True), expected) < HALF[torch.float32]
    model(TOKENS[:1], filled(model, 1, CAPACITY), last_only=True)
    assert not calls


def test_weights_that_move_are_found_again(calls):
    """As they do to huge pages; a copy reads its own."""
    model, _ = made(torch.float32)
    before = model(TOKENS[:1], filled(model, 1, 2), last_only=True)
    other = copy.deepcopy(model)
    for weight in (model.token.weight, model.position.weight, model.blocks[2].down.weight):
        weight.data = weight * 2
        after, copied = (each(TOKENS[:1], filled(each, 1, 2), last_only=True) for each in (model, other))
        assert not torch.equal(after, before)
        assert torch.equal(copied, before)
        before, other = after, copy.deepcopy(model)
    assert calls == ["decoder_step"] * 7


def test_memory_that_a_tensor_leaves_is_not_freed(calls):
    """A small one that moves alone is not noticed: C reads what was there."""
    model, _ = made(torch.float32)
    before = model(TOKENS[:1], filled(model, 1, 2), last_only=True)
    for small in (model.norm.bias, model.blocks[0].up.bias):
        small.data = torch.zeros_like(small)
    torch.full((96 * 64,), 9.0)
    assert torch.equal(model(TOKENS[:1], filled(model, 1, 2), last_only=True), before)
    model.blocks[0].up.bias.data = model.blocks[0].up.bias + 1
    model.blocks[0].up.weight.data = model.blocks[0].up.weight * 1
    assert not torch.equal(model(TOKENS[:1], filled(model, 1, 2), last_only=True), before)
    assert calls == ["decoder_step"] * 3


def test_a_model_that_changes_its_format_is_read_in_the_new_one(calls):
    """The weights move then."""
    model, exact = made(torch.float32)
    model(TOKENS[:1], filled(model, 1, 2), last_only=True)
    model.bfloat16()
    expected = exact(TOKENS[:1], filled(exact, 1, 2), last_only=True)
    assert error(model(TOKENS[:1], filled(model, 1, 2), last_only=True), expected) < 5e-2
    assert calls == ["decoder_step"] * 2
