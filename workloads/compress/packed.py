"""int8 by torch's own packed kernels, on the CPU in fp32: recurrent layers, whole convolutional networks."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Workload
from workloads.compress import torch_int8
from workloads.compress.base import Compressor
from workloads.compress.quantisation import FIRST_CALIBRATION_BATCH
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    from torch import nn


RESNET_STRIDE = 32
"""Pixels of an image for each pixel of its last map."""


class Packed(Compressor):
    """Stores weights in int8 for the engine that torch has for this CPU."""

    differentiable: ClassVar[bool] = False

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Quantise the model."""
        import torch

        from workloads.counting.storage import parameter_count, weights_bytes

        before = {"parameters_before": parameter_count(model), "weights_bytes_before": weights_bytes(model)}
        with torch_int8.packed():
            model, done = self.quantise(workload, model)
        after = {"parameters": parameter_count(model), "weights_bytes": weights_bytes(model)}
        return model, {
            "bits": 8,
            "kernel": f"torch {torch.backends.quantized.engine}",
            **before,
            **after,
            **done,
        }

    @abc.abstractmethod
    def quantise(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Return the quantised model, and what else there is to report."""


class Int8Recurrent(Packed):
    """LSTM and GRU layers with int8 weights; inputs and states are scaled as they come."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="int8_recurrent",
        title="int8 recurrent layers, dynamic",
        summary="Multiply in int8 in LSTM and GRU layers, inputs scaled as they come",
        modes=("generate",),
        needs=frozenset({"recurrent"}),
        precisions=("fp32",),
        devices=("cpu",),
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Torch has no int8 kernel of the plain cell."""
        if cell.size["cell"] == "rnn":
            return f"{cls.spec.name} has kernels for cell lstm and gru, not for rnn"
        return None

    def quantise(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """By torch."""
        import torch
        from torch import nn

        kinds = {nn.LSTM, nn.GRU}
        found = sum(type(module) in kinds for module in model.modules())
        quantised: nn.Module = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
            model, kinds, torch.qint8
        )
        return quantised, {"layers": found}


class Int8Convolution(Packed):
    """A whole convolutional network in int8: calibrated, its batch norms and activations fused."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="int8_convolution",
        title="int8 convolutional network, static",
        summary="Calibrate and fuse a convolutional network and run all of it in int8",
        modes=("infer",),
        needs=frozenset({"convolution", "classes"}),
        settings={"batches": Setting(2, "batches to calibrate with", (), 1, 1000)},
        precisions=("fp32",),
        devices=("cpu",),
        compiles=False,
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Torch's int8 mean fails over one pixel where channels lie innermost."""
        if cell.workload.name == "resnet" and int(cell.size["image"]) <= RESNET_STRIDE:
            return f"{cls.spec.name} needs images of more than {RESNET_STRIDE} pixels a side in resnet"
        return None

    def quantise(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Trace, observe, convert."""
        import torch
        from torch import fx
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        batches = [
            workload.make_batch(FIRST_CALIBRATION_BATCH + number)
            for number in range(int(self.settings["batches"]))
        ]
        before = len(fx.symbolic_trace(model).graph.nodes)
        kinds = get_default_qconfig_mapping(torch.backends.quantized.engine)
        observed = prepare_fx(model, kinds, (batches[0]["images"],))
        with torch.no_grad():
            for batch in batches:
                workload.infer(observed, batch)
        quantised = convert_fx(observed)
        one = {
            "name": "static_int8",
            "nodes_before": before,
            "nodes_after": len(quantised.graph.nodes),
        }
        return quantised, {"passes": [one]}
