"""A server that somebody else runs, asked over the network: nothing of it is built here."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Units, UnsupportedError, Workload, WorkloadSpec

if TYPE_CHECKING:
    from torch import nn


class Endpoint(Workload):
    """An OpenAI-compatible endpoint; `load` says who asks it, and `harness.serving.endpoint` asks."""

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="endpoint",
        title="Endpoint",
        family="served",
        summary="any OpenAI-compatible server, asked for streams: workload.url and workload.model",
        unit="tokens",
        modes=("serve",),
        sizes={"tiny": {"batch": 1, "prompt": 128, "new_tokens": 64}},
        precisions=("fp32",),
        traits=frozenset(),
        single_threaded=True,
        library="httptools",
    )

    def build_model(self) -> nn.Module:
        """Refuse: the model is the server's."""
        raise UnsupportedError("an endpoint's model is built by its server")

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Refuse: an endpoint is asked with text."""
        raise UnsupportedError("an endpoint is asked with text")

    def units(self, batch: Batch) -> Units:
        """Refuse: its server counts tokens."""
        raise UnsupportedError("an endpoint's server counts its tokens")
