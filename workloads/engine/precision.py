"""Number formats: what the weights are cast to, what a training step runs under, how gradients are scaled.

Training keeps fp32 weights and runs under autocast; every other mode casts the weights. Training in fp8
replaces the linear layers' products, the rest of the step is bf16; weights stored in fp8 are a compression.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from workloads.base import PRECISIONS, UnsupportedError

_LOWER = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.bfloat16}
FP8_MULTIPLE = 16
"""The fp8 products of NVIDIA's tensor cores take dimensions of this multiple."""


def set_matmul(device: torch.device, precision: str) -> None:
    """Set what torch's fp32 products may be rounded to.

    Raises:
        UnsupportedError: the device has no such format.
        ValueError: no such format.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision == "tf32" and device.type != "cuda":
        raise UnsupportedError(f"tf32 is a format of CUDA tensor cores; {device.type} has none")
    # cuDNN uses TF32 for fp32 convolutions unless set otherwise: fp32 must mean fp32.
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def weight_dtype(precision: str, *, training: bool) -> torch.dtype | None:
    """Return what the weights and inputs are cast to; None leaves them in fp32."""
    return None if training else _LOWER.get(precision)


def autocast(device: torch.device, precision: str) -> Callable[[], AbstractContextManager[Any]]:
    """Return the context of a training step's forward pass."""
    dtype = _LOWER.get(precision)
    if dtype is None:
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=dtype)


def gradient_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler | None:
    """Return what keeps fp16 gradients from vanishing; other formats need none."""
    return torch.amp.GradScaler(device.type) if precision == "fp16" else None


def train_in_fp8(model: nn.Module, *, emulate: bool = False) -> int:
    """Make the linear layers' products fp8, forward and backward; return how many layers that are.

    Args:
        model: On its device; changed in place.
        emulate: Round to fp8 and multiply in the format of the rest, for a device without such products.

    Raises:
        UnsupportedError: torchao is missing, the device has no fp8 products, or no layer can use them.
    """
    device = next(model.parameters()).device
    if not emulate and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 9)):
        raise UnsupportedError("fp8 products need a CUDA device of compute capability 8.9 or later")
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    except ImportError as error:
        raise UnsupportedError("fp8 needs torchao: pip install 'joulemark[quant]'") from error

    def fits(module: nn.Module, _name: str) -> bool:
        return isinstance(module, nn.Linear) and not any(
            n % FP8_MULTIPLE for n in (module.in_features, module.out_features)
        )

    chosen = sum(fits(module, name) for name, module in model.named_modules())
    if not chosen:
        raise UnsupportedError(f"fp8 needs linear layers with dimensions of a multiple of {FP8_MULTIPLE}")
    # In the backward pass the rows that a layer saw are what is summed over, and they come in any number.
    config = Float8LinearConfig(emulate=emulate, pad_inner_dim=True)
    convert_to_float8_training(model, module_filter_fn=fits, config=config)
    return chosen
