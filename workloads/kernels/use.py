"""Let a model call our kernels."""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from workloads.kernels.attention import attend
from workloads.kernels.block import DecoderBlock
from workloads.kernels.linear import DTYPES, FewRowsLinear, FewRowsTable
from workloads.kernels.step import DecoderStep


def use_kernels(model: nn.Module, *, attention: bool) -> int:
    """Change the classes of the model's plain linear layers and embeddings; return how many layers these are.

    Args:
        model: In fp32 or bf16; without gradients.
        attention: Let its attention call our kernel too, where it is torch's.
    """
    count = 0
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.dtype in DTYPES:
            module.__class__ = FewRowsLinear
            count += 1
        elif type(module) is nn.Embedding and module.weight.dtype in DTYPES:
            module.__class__ = FewRowsTable
        elif attention and getattr(module, "attend", None) is F.scaled_dot_product_attention:
            module.attend = attend  # type: ignore[assignment]
        elif attention and hasattr(type(module), "one_call"):
            module.one_call = DecoderBlock()  # type: ignore[assignment]
        elif attention and hasattr(type(module), "one_step"):
            module.one_step = DecoderStep()  # type: ignore[assignment]
    return count
