"""Digests of weights and batches: equal for equal numbers, and for nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workloads.engine import digest
from workloads.engine.digest import tensors_sha256, weights_sha256


def model(seed=0):
    """Make a small model of one seed, with a buffer."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_one_seed_gives_one_digest_and_another_seed_another():
    """The digest is of the numbers, not of the objects."""
    assert weights_sha256(model()) == weights_sha256(model()) != weights_sha256(model(1))


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([1.0, 2.0, 3.5])},
        {"b": torch.tensor([1.0, 2.0, 3.0])},
        {"a": torch.tensor([[1.0, 2.0, 3.0]])},
        {"a": torch.tensor([1.0, 2.0, 3.0], dtype=torch.bfloat16)},
        {"a": torch.tensor([1.0, 2.0, 3.0]), "b": "words"},
    ],
)
def test_a_number_a_name_a_shape_and_a_type_change_it(other):
    """What stands elsewhere or is stored otherwise is another batch."""
    assert tensors_sha256(other) != tensors_sha256({"a": torch.tensor([1.0, 2.0, 3.0])})


def test_layouts_of_the_same_numbers_are_the_same():
    """A transposed view is what its copy is; a scalar, an empty and a meta tensor are fine."""
    view = torch.arange(6.0).reshape(2, 3).T
    assert tensors_sha256({"a": view}) == tensors_sha256({"a": view.contiguous()})
    assert tensors_sha256({"a": torch.tensor(1.0), "b": torch.empty(0), "c": torch.empty(2, device="meta")})


def test_much_is_sampled_evenly(monkeypatch):
    """Every n-th number of each counts, and the digest of a sample is no digest of the whole."""
    whole = tensors_sha256({"a": torch.arange(8.0)})
    monkeypatch.setattr(digest, "MOST_BYTES", 16)
    sampled = tensors_sha256({"a": torch.arange(8.0)})
    assert sampled != whole
    changed = torch.arange(8.0)
    changed[1] = 9
    assert tensors_sha256({"a": changed}) == sampled
    changed[2] = 9
    assert tensors_sha256({"a": changed}) != sampled
