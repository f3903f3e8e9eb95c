"""A decoder-only transformer after Mixtral: Llama's blocks, with experts for feed-forward networks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from workloads.models.llama import Llama


class Experts(nn.Module):
    """Gated networks, of which a router chooses `active` for each token and adds them up by its weights.

    Tokens are sorted by expert and go through one grouped product: no shape depends on the router's choice,
    so that nothing waits for the device.
    """

    def __init__(self, hidden: int, inner: int, experts: int, active: int) -> None:
        super().__init__()
        self.active = active
        self.router = nn.Linear(hidden, experts, bias=False)
        self.gate_up = nn.Parameter(torch.empty(experts, 2 * inner, hidden))
        self.down = nn.Parameter(torch.empty(experts, hidden, inner))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., d) to (..., d)."""
        tokens = x.flatten(0, -2)
        weight, expert = self.router(tokens).float().softmax(-1).topk(self.active, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        order = expert.flatten().argsort(stable=True)
        places = torch.arange(self.router.out_features, device=x.device)
        counts = (expert.flatten()[:, None] == places).sum(0)
        rows = order // self.active
        made = self.run(tokens.index_select(0, rows), counts)
        made = made * weight.flatten().index_select(0, order)[:, None].to(made.dtype)
        return torch.zeros_like(tokens, dtype=made.dtype).index_add(0, rows, made).view(x.shape)

    def run(self, x: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Map rows x (N, d), sorted by expert, by their experts; `counts` is the rows of each."""
        ends = counts.cumsum(0).to(torch.int32)
        gate, up = _grouped_product(x, self.gate_up, ends).chunk(2, -1)
        return _grouped_product(F.silu(gate) * up, self.down, ends)


def _grouped_product(x: torch.Tensor, weight: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Multiply rows x (N, in), sorted by group, by its weight (G, out, in); groups end at `ends`."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)  # autocast does not know this product
        x, weight = x.to(dtype), weight.to(dtype)
    if x.dtype == torch.bfloat16:
        return F.grouped_mm(x, weight.transpose(1, 2), offs=ends)
    product: torch.Tensor = _wide_product(x, weight, ends)
    return product


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _wide_product(x: torch.Tensor, weight: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Do the same in fp32, for whose shape torch has no formula on `meta` or under the compiler."""
    if x.device.type == "meta":
        return x.new_empty(len(x), weight.shape[1])
    return F.grouped_mm(x, weight.transpose(1, 2), offs=ends)


class MixtureOfExperts(Llama):
    """Llama with experts."""

    def __init__(self, *, experts: int, active: int, **sizes: int) -> None:
        self.experts, self.active = experts, active
        super().__init__(**sizes)

    def network(self, hidden: int, inner: int) -> nn.Module:
        """Build one block's experts."""
        return Experts(hidden, inner, self.experts, self.active)
