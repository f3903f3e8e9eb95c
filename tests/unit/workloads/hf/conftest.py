"""The models of transformers, at sizes that take a moment."""

from __future__ import annotations

import pytest

from workloads import registry

pytest.importorskip("transformers")

HF = [name for name, place in registry.BUILT_IN.items() if place.startswith("workloads.hf.")]


@pytest.fixture(params=HF)
def hf_name(request) -> str:
    """Each model's name."""
    return request.param


@pytest.fixture(params=[(name, mode) for name in HF for mode in registry.get(name).spec.modes], ids="-".join)
def hf_case(request) -> tuple[str, str]:
    """Each model's name with each of its modes."""
    return request.param
