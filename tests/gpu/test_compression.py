"""Compressed layers whose kernels only a GPU has: stored as they say, and near the originals."""

from __future__ import annotations

import pytest

from workloads import registry
from workloads.compress.registry import COMPRESSORS
from workloads.engine.job import prepare
from workloads.engine.setup import Chosen, Setup
from workloads.transform import resolve_settings

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    ("name", "settings", "least", "share"),
    [
        ("int8_weight", {}, 25, 0.6),
        ("int8_dynamic", {}, 20, 0.6),
        ("int8_static", {}, 20, 0.6),
        ("int4_weight", {}, 10, 0.4),
        ("fp8", {}, 20, 0.6),
        ("fp8", {"activations": True}, 20, 0.6),
        ("prune_2_4", {}, 1, 0.7),
    ],
)
def test_a_compressed_model_is_smaller_and_near_the_original(cuda_torch, name, settings, least, share):
    """Signal to noise in decibels against bf16, and the share of the bytes of its linear layers."""
    kind = registry.get("vit")
    size = dict(kind.spec.sizes["tiny"]) | {"batch": 32, "hidden": 256, "heads": 4, "classes": 64}
    resolved = resolve_settings(COMPRESSORS.get(name).spec, settings)
    outputs, weights = [], []
    for chosen in (Chosen(), Chosen(name, resolved)):
        job = prepare(kind("infer", size), Setup(device="cuda:0", precision="bf16", compress=chosen))
        job.step(0, lambda _mark: None)
        outputs.append(job.output().double())
        weights.append(job.weights_bytes)
    plain, found = outputs
    noise = float((plain - found).square().sum() / plain.square().sum())
    assert 0 < noise < 10 ** (-least / 10)
    assert weights[1] < share * weights[0] + 0.1 * weights[0]
    if name == "prune_2_4":
        assert job.evidence()["packed_layers"] > 0
