"""CLIP's vision transformer, alone or as the eyes of another model.

Sizes: `image`, `patch`, `hidden`, `layers` and `heads`.
"""

from __future__ import annotations

from typing import Any

from workloads.base import Workload
from workloads.counting import flops


def config(workload: Workload) -> dict[str, Any]:
    """Return its configuration."""
    return {
        "image_size": workload.n("image"),
        "patch_size": workload.n("patch"),
        "hidden_size": workload.n("hidden"),
        "intermediate_size": 4 * workload.n("hidden"),
        "num_hidden_layers": workload.n("layers"),
        "num_attention_heads": workload.n("heads"),
    }


def patches(workload: Workload) -> int:
    """Count the patches of an image."""
    return (workload.n("image") // workload.n("patch")) ** 2


def forward_flops(workload: Workload, rows: int, layers: int) -> float:
    """Sum the patches' projection and `layers` blocks over patches and class token."""
    hidden, positions = workload.n("hidden"), patches(workload) + 1
    work = flops.conv2d(rows * (positions - 1), 3, hidden, workload.n("patch"))
    work += flops.encoder_layers(rows * positions, hidden, 4 * hidden, layers)
    return work + flops.attention(rows, positions, positions, hidden, layers)
