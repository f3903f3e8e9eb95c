"""Distributed inference by replicas: every rank holds the model and serves its own share of the requests."""

from __future__ import annotations

from typing import Any, ClassVar

from workloads.compress.registry import BUILT_IN
from workloads.parallel.shares import Shares
from workloads.transform import TransformSpec


class Replicated(Shares):
    """Ranks that never wait for one another: throughput adds up, latency stays that of one."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="replicated",
        title="Replicated inference",
        summary="each rank holds the whole model and serves its own share of the requests",
        modes=("infer", "prefill", "decode", "generate"),
        precisions=("fp32", "tf32", "bf16", "fp16"),
        compress=("none", *BUILT_IN),
    )

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"replicas": self.ranks.world}}
