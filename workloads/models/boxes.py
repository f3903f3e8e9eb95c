"""Boxes of object detection: anchors, overlap, offsets, and what lies under a box in a pyramid of features.

A box is (left, top, right, bottom) in pixels. Everything is fp32 and of a shape that no value decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

RATIOS = (0.5, 1.0, 2.0)
"""Height by width of the anchors at each place."""
LARGEST_GROWTH = math.log(1000 / 16)
"""Bound of the logarithm by which an offset stretches a box."""
LEAST = 1e-3
"""Least size of a box, in pixels."""
FINEST_STRIDE = 4
POOLED, SAMPLES = 7, 2
"""Places a side that a box is pooled into, and samples a side of each."""


def anchors(image: int, strides: Sequence[int]) -> torch.Tensor:
    """Return the boxes around every place of each level, eight strides wide when square: (N, 4), int32."""
    boxes = []
    for stride in strides:
        at = torch.arange(-(-image // stride), dtype=torch.float64) * stride
        tall = torch.tensor(RATIOS, dtype=torch.float64).sqrt()
        half = torch.stack((-1 / tall, -tall, 1 / tall, tall), 1).mul(4 * stride).round()
        rows, columns = torch.meshgrid(at, at, indexing="ij")
        places = torch.stack((columns, rows, columns, rows), -1)
        boxes.append((places[:, :, None] + half).flatten(0, 2))
    return torch.cat(boxes).int()


def overlap(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return intersection over union, (B, N, M), of boxes (B or 1, N, 4) and others (B, M, 4)."""
    low = torch.maximum(boxes[:, :, None, :2], others[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], others[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    other_area = (others[..., 2:] - others[..., :2]).prod(-1)
    return shared / (area[:, :, None] + other_area[:, None] - shared)


def _centred(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return centre and size; what lies outside the image was cut to nothing, and must not divide."""
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=LEAST)
    return boxes[..., :2] + 0.5 * size, size


def encode(boxes: torch.Tensor, start: torch.Tensor, weights: tuple[float, float]) -> torch.Tensor:
    """Return the offsets (..., 4) from `start` to `boxes`: shift by its size, logarithm of the stretch.

    The weights of shift and stretch scale them.
    """
    centre, size = _centred(boxes)
    from_centre, from_size = _centred(start)
    shift, stretch = (centre - from_centre) / from_size, (size / from_size).log()
    return torch.cat((weights[0] * shift, weights[1] * stretch), -1)


def decode(
    offsets: torch.Tensor, start: torch.Tensor, weights: tuple[float, float], image: int
) -> torch.Tensor:
    """Return the boxes (..., 4) at `offsets` from `start`, within the image."""
    shift, stretch = offsets[..., :2] / weights[0], offsets[..., 2:] / weights[1]
    from_centre, from_size = _centred(start)
    centre, half = from_centre + shift * from_size, 0.5 * from_size * stretch.clamp(max=LARGEST_GROWTH).exp()
    return torch.cat((centre - half, centre + half), -1).clamp(0, image)


def _atlas(levels: Sequence[torch.Tensor]) -> torch.Tensor:
    """Lay levels (B, C, S/2^l, S/2^l), finest first, into one sheet: the first, and the others below it."""
    finest, below = levels[0], levels[1]
    rest = [F.pad(level, (0, 0, 0, below.shape[2] - level.shape[2])) for level in levels[1:]]
    row = torch.cat(rest, 3)
    return torch.cat((finest, F.pad(row, (0, finest.shape[3] - row.shape[3]))), 2)


def align(levels: Sequence[torch.Tensor], boxes: torch.Tensor) -> torch.Tensor:
    """Pool what lies under boxes (B, R, 4) into (B·R, C, 7, 7), each from the level of its size.

    RoIAlign (He et al. 2017, section 3) over the pyramid (Lin et al. 2017, equation 1): a box of 224 pixels
    reads the third level. All levels lie in one sheet, so that one `grid_sample` serves every box and the
    work does not depend on which level each box reads.
    """
    sheet = _atlas(levels).float()
    side = float(levels[0].shape[3])
    corner, size = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    level = torch.floor(2 + torch.log2(size.prod(-1, keepdim=True).sqrt() / 224 + 1e-6))
    shrink = torch.exp2(-level.clamp(0, len(levels) - 1))  # (B, R, 1): 1 for the finest level
    places = (torch.arange(POOLED * SAMPLES, device=boxes.device) + 0.5) / (POOLED * SAMPLES)
    scale = shrink / FINEST_STRIDE
    at = (corner * scale)[:, :, None] + places[:, None] * (size * scale).clamp(min=1.0)[:, :, None]
    at = torch.minimum(at.clamp(min=0.0), (side * shrink - 1)[:, :, None])
    left = (side * (1 - 2 * shrink)).clamp(min=0.0)
    down = torch.where(shrink < 1, side, 0.0)
    x, y = (at + torch.cat((left, down), -1)[:, :, None]).unbind(-1)  # each (B, R, 14)
    x, y = 2 * x / (sheet.shape[3] - 1) - 1, 2 * y / (sheet.shape[2] - 1) - 1
    every = (-1, -1, len(places), len(places))
    grid = torch.stack((x[:, :, None, :].expand(every), y[:, :, :, None].expand(every)), -1)
    sampled = F.grid_sample(sheet, grid.flatten(1, 2), align_corners=True)  # (B, C, R·14, 14)
    batch, channels = sampled.shape[:2]
    pooled = F.avg_pool2d(sampled, SAMPLES).view(batch, channels, -1, POOLED, POOLED)
    return pooled.transpose(1, 2).flatten(0, 1)
