"""A decoder's block in one call of C, against its parts in fp64."""

import copy

import pytest
import torch
from torch import nn

from workloads.kernels import block as block_kernel
from workloads.kernels import library
from workloads.kernels.linear import FEW
from workloads.kernels.packed import Int4Linear, Int8Linear
from workloads.kernels.use import use_kernels
from workloads.models.gpt import Block, Cache, GrowingCache, RaggedCache

pytestmark = pytest.mark.usefixtures("kernels")
HALF = {torch.float32: 2e-6, torch.bfloat16: 1e-2}
"""Relative error of a block's output in each format; between its parts it rounds to that format."""
HIDDEN, HEADS, CAPACITY = 96, 2, 21


@pytest.fixture
def calls(monkeypatch):
    """Collect what a block asks of C."""
    found = []
    whole = block_kernel.run
    monkeypatch.setattr(block_kernel, "run", lambda *given: (found.append(given[0]), whole(*given)))
    return found


def made(dtype, change=lambda _block: None):
    """Return a block that calls C, its weights of the size of a trained one's, and the same in fp64."""
    torch.manual_seed(4)
    block = Block(HIDDEN, HEADS)
    for parameter in block.parameters():
        parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.dim() == 2 else 0.5))
    block.to(dtype).requires_grad_(requires_grad=False)
    change(block)
    exact = Block(HIDDEN, HEADS).double()
    for name, mine in block.named_modules():
        if hasattr(mine, "weight"):
            theirs = exact.get_submodule(name)
            theirs.weight.copy_(mine.weight)
            theirs.bias.copy_(mine.bias)
    use_kernels(block, attention=True)
    return block, exact


def filled(rows, dtype, length):
    """Return a cache of two layers with numbers in every place, and the same in fp64."""
    random = torch.Generator().manual_seed(5)
    shape = (2, rows, HEADS, CAPACITY, HIDDEN // HEADS)
    keys, values = (torch.randn(shape, generator=random).to(dtype) for _ in range(2))
    return Cache(keys, values, length), Cache(keys.double(), values.double(), length)


def error(found, expected):
    """Relative error in the 2-norm."""
    return float((found.double() - expected).norm() / expected.norm())


def packed(kind):
    """Return what stores a block's layers as this kind."""

    def change(block):
        for parent, name in (
            (block.attention, "qkv"), (block.attention, "out"), (block, "up"), (block, "down"),
        ):  # fmt: skip
            layer = getattr(parent, name)
            setattr(parent, name, kind(layer.weight, layer.bias))

    return change


KINDS = {
    "plain": lambda _block: None,
    "int8": packed(Int8Linear),
    "int4": packed(lambda weight, bias: Int4Linear(weight, bias, 32)),
}


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "threads"), [(1, 1), (3, 2)])
def test_a_block_is_the_sum_of_its_parts(calls, dtype, kind, rows, threads):
    """Output and cache; every other place of the cache stays as it is."""
    if kind != "plain" and not library.packs():
        pytest.skip("no AVX-512 VNNI")
    torch.set_num_threads(threads)
    block, exact = made(dtype, KINDS[kind])
    x = torch.randn(rows, 1, HIDDEN).to(dtype)
    for length in (0, 17, CAPACITY - 1):
        cache, reference = filled(rows, dtype, length)
        assert error(block(x, cache, 1), exact(x.double(), reference, 1)) < HALF[dtype]
        for mine, theirs in ((cache.keys, reference.keys), (cache.values, reference.values)):
            assert error(mine[1, :, :, length], theirs[1, :, :, length]) < HALF[dtype]
            mine[1, :, :, length] = theirs[1, :, :, length] = 0
            assert torch.equal(mine.double(), theirs)
    assert calls == ["decoder_block"] * 3


@pytest.mark.parametrize("dtype", HALF)
def test_sequences_of_unlike_lengths(calls, dtype):
    """Each sees its own positions, and writes behind them."""
    block, exact = made(dtype)
    x, lengths = torch.randn(3, 1, HIDDEN).to(dtype), torch.tensor([0, 16, 19])
    cache, reference = (c.ragged(lengths, 19, masked=False) for c in filled(3, dtype, 0))
    reference = RaggedCache(*reference[:4], masked=True)
    assert error(block(x, cache, 0), exact(x.double(), reference, 0)) < HALF[dtype]
    assert error(cache.keys, reference.keys) < HALF[dtype]
    assert error(cache.values, reference.values) < HALF[dtype]
    assert calls == ["decoder_block"]


def test_large_numbers_and_none(calls):
    """GELU is 0 or its input far from 0; a number that is none stays one, in its own row."""
    block, exact = made(torch.float32)
    block.up.weight *= 1e4
    exact.up.weight *= 1e4
    x = torch.randn(2, 1, HIDDEN)
    (cache, reference), (other, _) = filled(2, x.dtype, 3), filled(2, x.dtype, 3)
    expected = exact(x.double(), reference, 0)
    assert error(block(x, cache, 0), expected) < 1e-5
    x[0, 0, 7] = float("nan")
    bad, good = block(x, other, 0)
    assert bad.isnan().all()
    assert error(good, expected[1]) < 1e-5
    assert calls == ["decoder_block"] * 2


class Unlike(nn.Linear):
    """A layer that C does not know."""


def unknown(block):
    """Let one of a block's layers be of that kind."""
    block.up.__class__ = Unlike


@pytest.mark.parametrize(
    ("rows", "positions", "change", "length"),
    [(FEW[torch.float32] + 1, 1, KINDS["plain"], 3), (2, 2, KINDS["plain"], 3), (2, 1, unknown, 3)],
)
def test_torch_runs_what_c_does_not_know(calls, rows, positions, change, length):
    """Many rows, several positions, another layer."""
    block, exact = made(torch.float32, change)
    x = torch.randn(rows, positions, HIDDEN)
    cache, reference = filled(rows, x.dtype, length)
    assert error(block(x, cache, 0), exact(x.double(), reference, 0)) < 2e-6
    assert not calls


def test_a_cache_that_grows_is_torch_s(calls):
    """Its keys are a list."""
    block, exact = made(torch.float32)
    x, (cache, reference) = torch.randn(1, 1, HIDDEN), filled(1, torch.float32, 3)
    grown, like = (
        GrowingCache(list(c.keys[..., :3, :]), list(c.values[..., :3, :]), 3) for c in (cache, reference)
    )
    assert error(block(x, grown, 0), exact(x.double(), like, 0)) < 2e-6
    assert not calls


def test_c_writes_nothing_behind_a_full_cache(calls):
    """One place of room is enough for it, none is not."""
    block, _ = made(torch.float32)
    for length in (CAPACITY, CAPACITY - 1):
        assert not calls
        block(torch.randn(1, 1, HIDDEN), filled(1, torch.float32, length)[0], 0)
    assert calls == ["decoder_block"]


def test_weights_that_move_are_found_again(calls):
    """As they do to huge pages; a copy reads its own."""
    block, _ = made(torch.float32)
    x = torch.randn(1, 1, HIDDEN)
    before = block(x, filled(1, x.dtype, 2)[0], 0)
    other = copy.deepcopy(block)
    block.down.weight.data = block.down.weight * 2
    after, copied = (each(x, filled(1, x.dtype, 2)[0], 0) for each in (block, other))
    assert not torch.equal(after, before)
    assert torch.equal(copied, before)
    assert calls == ["decoder_block"] * 3
