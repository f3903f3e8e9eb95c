"""Weights on huge pages, where the kernel gives them: small pages halve the speed of a step of few rows."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

HUGE = 1 << 21
"""Bytes of a huge page; a kernel with larger ones gives those that fit."""
_LEAST = 1 << 16
"""Bytes of a tensor that is worth moving."""
_LINE = 64
_ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def on_huge_pages(model: nn.Module, enabled: Path = _ENABLED) -> bool:
    """Move a model's weights into memory for which huge pages are asked; return whether they were.

    Every tensor keeps its identity and its values. What shares memory with another tensor stays where it is,
    and so does everything where it would fill no huge page.

    Args:
        model: On the CPU, its weights not to be trained.
        enabled: Where the kernel reports who gets huge pages: `always [madvise] never`.
    """
    tensors = list(_movable(model))
    size = sum(map(_room, tensors))
    if size < HUGE or not _gives(enabled):
        return False
    try:
        memory = mmap.mmap(-1, size + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_HUGEPAGE)
    except OSError:  # the process may take no more, or the kernel knows no such pages
        return False
    whole = torch.frombuffer(memory, dtype=torch.uint8)
    at = -whole.data_ptr() % HUGE
    with torch.no_grad():
        for tensor in tensors:
            room = whole[at : at + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
            tensor.data = room.copy_(tensor)
            at += _room(tensor)
    return True


def _movable(model: nn.Module) -> Iterator[torch.Tensor]:
    for tensor in (*model.parameters(), *model.buffers()):
        plain = type(tensor) in (torch.Tensor, nn.Parameter) and tensor.device.type == "cpu"
        whole = plain and tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
        if whole and tensor.nbytes >= _LEAST:
            yield tensor


def _room(tensor: torch.Tensor) -> int:
    return -(-tensor.nbytes // _LINE) * _LINE


def _gives(enabled: Path) -> bool:
    try:
        return "[never]" not in enabled.read_text()
    except OSError:
        return False
