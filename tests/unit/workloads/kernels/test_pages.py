"""Weights that lie on huge pages."""

from __future__ import annotations

import mmap
from itertools import pairwise

import pytest
import torch
from torch import nn

from workloads.kernels import pages
from workloads.kernels.pages import HUGE, on_huge_pages


@pytest.fixture
def enabled(tmp_path):
    """Return what the kernel says where huge pages are for those who ask."""
    path = tmp_path / "enabled"
    path.write_text("always [madvise] never\n")
    return path


@pytest.fixture
def model():
    """Return layers of more than a huge page in all, two of which share their weights, and a buffer."""
    layers = nn.Sequential(nn.Linear(512, 600), nn.Linear(600, 512), nn.Linear(512, 600))
    layers[2].weight = layers[0].weight
    layers.register_buffer("numbers", torch.randint(255, (700, 512), dtype=torch.uint8))
    return layers.requires_grad_(requires_grad=False)


def test_every_weight_keeps_its_values_and_its_name(model, enabled):
    """They lie in one piece from a page's start on, in order; weights that are shared stay so."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    shared = model[0].weight
    assert on_huge_pages(model, enabled)
    assert model[2].weight is model[0].weight is shared
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    moved = [model[0].weight, model[1].weight, model.numbers]
    assert moved[0].data_ptr() % HUGE == 0
    for one, other in pairwise(moved):
        assert 0 <= other.data_ptr() - one.data_ptr() - one.nbytes < 64
    assert model[0].bias.data_ptr() - moved[0].data_ptr() not in range(2 * HUGE), "too small to be worth it"


def test_a_view_stays_where_its_memory_is(enabled):
    """What writes to the whole still reaches it."""
    whole = torch.zeros(2, 1 << 20)
    model = nn.Module()
    model.register_buffer("row", whole[0])
    model.register_buffer("table", torch.ones(1 << 20))
    assert on_huge_pages(model, enabled)
    whole.fill_(3.0)
    assert model.row[0] == 3
    assert model.table[0] == 1


@pytest.mark.parametrize("says", ["always madvise [never]", None])
def test_nothing_moves_where_the_kernel_gives_none(model, enabled, says):
    """Nor where it says nothing."""
    enabled.unlink() if says is None else enabled.write_text(says)
    at = model[0].weight.data_ptr()
    assert not on_huge_pages(model, enabled)
    assert model[0].weight.data_ptr() == at


def test_nothing_moves_where_the_process_may_take_no_more(model, enabled, monkeypatch):
    """A memory limit that the copy would break leaves the weights as they are."""

    def refuse(*_given, **_named):
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr(pages.mmap, "mmap", refuse)
    assert mmap.mmap is refuse
    assert not on_huge_pages(model, enabled)


def test_a_small_model_stays(enabled):
    """It would fill no page."""
    assert not on_huge_pages(nn.Linear(256, 256), enabled)
