"""What a trial began with, as digests: they tell whether one seed gave the same work elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import nn

MOST_BYTES = 64 * 2**20
"""Of all tensors together; beyond it, evenly spaced numbers of each."""


def weights_sha256(model: nn.Module) -> str:
    """Return the sha256 over names, shapes, types and numbers of a model's parameters and buffers."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return tensors_sha256(tensors)


def tensors_sha256(tensors: Mapping[str, object]) -> str:
    """Return the sha256 over named tensors; of one without numbers in plain sight only its name counts.

    More than `MOST_BYTES` is sampled: every n-th number, the same n for all.
    """
    plain = {name: t for name, t in tensors.items() if isinstance(t, torch.Tensor) and _is_plain(t)}
    every = max(1, -(-_bytes(plain.values()) // MOST_BYTES))
    digest = hashlib.sha256(f"every {every}".encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        if (tensor := plain.get(name)) is not None:
            numbers = tensor.detach().reshape(-1)[::every].contiguous().cpu()
            digest.update(f" {tuple(tensor.shape)} {tensor.dtype} ".encode())
            digest.update(numbers.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _is_plain(tensor: torch.Tensor) -> bool:
    kinds = (torch.Tensor, nn.Parameter, nn.Buffer)
    return type(tensor) in kinds and tensor.layout == torch.strided and not tensor.is_meta


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
