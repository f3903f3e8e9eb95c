"""Faster R-CNN over a feature pyramid, with a fixed number of proposals and of detections.

As published (Ren et al. 2015; Lin et al. 2017) but for what would make the work depend on values: boxes are
kept by score alone, without suppression of those that overlap, and the losses take every anchor and every
proposal, positive and negative ones weighing the same, instead of a random sample of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from workloads.models import boxes
from workloads.models.resnet import EXPANSION, ConvNorm, bottlenecks

STRIDES = (4, 8, 16, 32, 64)
SHARE_OF_BRANCH = 0.25
"""Scale of a residual branch before anything is learnt, which keeps the features' size."""
COARSE, FINE = (1.0, 1.0), (10.0, 5.0)
"""Weights of shift and stretch in the offsets of proposals and of detections."""
SMOOTH = 1 / 9
"""Error below which the boxes' loss is quadratic."""


class FrozenNorm(nn.Module):
    """Batch norm with statistics, scale and shift that are never trained: a detector's batches are small."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in (("mean", 0.0), ("variance", 1.0), ("weight", 1.0), ("bias", 0.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        mean, variance, weight, bias = self.buffers()
        return F.batch_norm(x, mean, variance, weight, bias)


class Backbone(nn.Module):
    """ResNet stages, and a pyramid of equal channels from the coarsest down to the finest."""

    def __init__(self, stages: Sequence[int], width: int, channels: int) -> None:
        super().__init__()
        self.stem = ConvNorm(3, width, 7, 2, FrozenNorm)
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks = bottlenecks(stages, width, FrozenNorm)
        for block in (block for stage in blocks for block in stage):
            block.up[1].weight.fill_(SHARE_OF_BRANCH)  # type: ignore[index, union-attr]
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in blocks)
        widths = [EXPANSION * width << stage for stage in range(len(stages))]
        self.across = nn.ModuleList(nn.Conv2d(wide, channels, 1) for wide in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1) for _ in widths)
        for convolution in (*self.across, *self.smooth):
            nn.init.kaiming_uniform_(convolution.weight, a=1)
            nn.init.zeros_(convolution.bias)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return five levels (B, channels, H/s, W/s), strides 4 to 64; the last is the fourth, thinned."""
        x = self.pool(torch.relu(self.stem(images)))
        features = []
        for stage, across in zip(self.stages, self.across, strict=True):
            x = stage(x)
            features.append(across(x))
        for finer in reversed(range(len(features) - 1)):
            size = features[finer].shape[2:]
            features[finer] = features[finer] + F.interpolate(features[finer + 1], size=size)
        levels = [smooth(level) for smooth, level in zip(self.smooth, features, strict=True)]
        return [*levels, levels[-1][:, :, ::2, ::2]]


class ProposalHead(nn.Module):
    """For each anchor whether it holds an object, and where its box is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, 1, 1)
        self.score = nn.Conv2d(channels, len(boxes.RATIOS), 1)
        self.offset = nn.Conv2d(channels, 4 * len(boxes.RATIOS), 1)
        for convolution in (self.convolution, self.score, self.offset):
            nn.init.normal_(convolution.weight, std=0.01)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, levels: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (B, N) and offsets (B, N, 4) over all levels' anchors, in fp32."""
        scores, offsets = [], []
        for level in levels:
            x = torch.relu(self.convolution(level))
            scores.append(self.score(x).permute(0, 2, 3, 1).flatten(1))
            offsets.append(self.offset(x).permute(0, 2, 3, 1).flatten(1))
        offset = torch.cat(offsets, 1).float()
        return torch.cat(scores, 1).float(), offset.view(len(offset), -1, 4)


class BoxHead(nn.Module):
    """Classifies what was pooled, 0 being nothing, and moves the box for each class."""

    def __init__(self, channels: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Linear(channels * boxes.POOLED**2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.score = nn.Linear(hidden, classes)
        self.offset = nn.Linear(hidden, 4 * classes)

    def forward(self, pooled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (R, classes) and offsets (R, classes, 4), in fp32."""
        x = self.inner(pooled.flatten(1).to(self.score.weight.dtype))
        return self.score(x).float(), self.offset(x).float().unflatten(1, (-1, 4))


class Found(NamedTuple):
    """What a detector says of B images with N anchors, R proposals and `classes` classes, in fp32."""

    anchors: torch.Tensor
    """Boxes (1, N, 4), the same for every image."""
    scores: torch.Tensor
    """Logits that an anchor holds an object, (B, N)."""
    offsets: torch.Tensor
    """From the anchors to the objects' boxes, (B, N, 4)."""
    proposals: torch.Tensor
    """Boxes (B, R, 4), without gradient."""
    logits: torch.Tensor
    """Of the proposals' classes, (B, R, classes); 0 is nothing."""
    moves: torch.Tensor
    """From the proposals to the boxes, for each class: (B, R, classes, 4)."""


class FasterRCNN(nn.Module):
    """Proposals from the best anchors, each pooled, classified and moved."""

    anchors: torch.Tensor

    def __init__(
        self, *, stages: Sequence[int], width: int, channels: int, hidden: int, classes: int, image: int
    ) -> None:
        super().__init__()
        self.image = image
        self.backbone = Backbone(stages, width, channels)
        self.propose = ProposalHead(channels)
        self.head = BoxHead(channels, hidden, classes)
        self.register_buffer("anchors", boxes.anchors(image, STRIDES), persistent=False)

    def forward(self, images: torch.Tensor, proposals: int, truth: torch.Tensor | None = None) -> Found:
        """Propose boxes in images (B, 3, H, W) and judge them; true boxes (B, G, 4) are among them."""
        levels = self.backbone(images)
        scores, offsets = self.propose(levels)
        count = proposals if truth is None else proposals - truth.shape[1]
        chosen = scores.detach().topk(count, 1).indices
        anchors = self.anchors.float()[None]
        start = _rows(anchors.expand(len(images), -1, -1), chosen)
        found = boxes.decode(_rows(offsets.detach(), chosen), start, COARSE, self.image)
        if truth is not None:
            found = torch.cat((truth, found), 1)
        logits, moves = self.head(boxes.align(levels[:4], found))
        rows = (len(images), proposals)
        return Found(anchors, scores, offsets, found, logits.unflatten(0, rows), moves.unflatten(0, rows))


def detection_loss(found: Found, truth: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the sum of four losses against true boxes (B, G, 4) and their labels (B, G), 1 or more.

    An anchor is positive where it overlaps an object by 0.7 or is the best for one, negative under 0.3; a
    proposal is positive from 0.5.
    """
    common = boxes.overlap(found.anchors, truth)
    best, which = common.max(2)
    positive = (best >= 0.7).scatter(1, common.argmax(1), value=True)
    negative = (best < 0.3) & ~positive
    error = F.binary_cross_entropy_with_logits(found.scores, positive.float(), reduction="none")
    objectness = 0.5 * (_mean(error, positive) + _mean(error, negative))
    placed = _mean(_apart(found.offsets, boxes.encode(_rows(truth, which), found.anchors, COARSE)), positive)

    common, which = boxes.overlap(found.proposals, truth).max(2)
    label = torch.where(common >= 0.5, labels.gather(1, which), 0)
    own = found.moves.take_along_dim(label[..., None, None], 2)[:, :, 0]
    error = _apart(own, boxes.encode(_rows(truth, which), found.proposals, FINE))
    moved = torch.where(label > 0, error, 0.0).mean()
    return objectness + placed + F.cross_entropy(found.logits.flatten(0, 1), label.flatten()) + moved


def detections(found: Found, count: int, image: int) -> torch.Tensor:
    """Return box, score and class of the best `count` detections, (B, count, 6)."""
    scores = found.logits.softmax(-1)[:, :, 1:]
    score, at = scores.flatten(1).topk(count, 1)
    start = _rows(found.proposals, at // scores.shape[2])
    box = boxes.decode(_rows(found.moves[:, :, 1:].flatten(1, 2), at), start, FINE, image)
    return torch.cat((box, score[..., None], (at % scores.shape[2] + 1.0)[..., None]), -1)


def _rows(table: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Return the rows of a table (B, M, 4) at `which` (B, N)."""
    return table.gather(1, which[..., None].expand(-1, -1, table.shape[2]))


def _apart(offsets: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return how far boxes (B, N, 4) are from where they should be, (B, N): quadratic below SMOOTH."""
    return F.smooth_l1_loss(offsets, target, beta=SMOOTH, reduction="none").sum(-1)


def _mean(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return the mean over the images of each one's mean of the values (B, N) that count."""
    return (torch.where(where, values, 0.0).sum(1) / where.sum(1).clamp(min=1)).mean()
