"""Quantisation of linear layers for inference: the weights, or weights and activations, in 8 or 4 bits."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import MODES, TRAINING, GenerativeWorkload, UnsupportedError, Workload
from workloads.compress import layers, packing, torch_int8
from workloads.compress.base import PRECISIONS, Compressor
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

INFERENCE = tuple(mode for mode in MODES if mode not in TRAINING)
LEAST_ROWS = 16
TINYGEMM = "tile_packed_to_4d"
"""torchao's name of the layout of torch's own int4 kernel on CUDA."""


class Quantisation(Compressor):
    """Stores linear layers in fewer bits; what their kernels give and take has the trial's precision."""

    differentiable: ClassVar[bool] = False
    works_after_cast: ClassVar[bool] = True
    bits: ClassVar[int] = 8

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Quantise the chosen layers whose shapes the kernels take.

        Raises:
            UnsupportedError: there is none.
        """
        from torch import nn

        from workloads.counting.storage import parameter_count, weights_bytes

        parameters, before = parameter_count(model), weights_bytes(model)
        found = layers.chosen(model, str(self.settings["layers"]), nn.Linear)
        fitting = {name: layer for name, layer in found.items() if self.fits(layer)}
        if not fitting:
            raise UnsupportedError(f"{self.spec.name}: no chosen layer has a shape that its kernels take")
        kernel = self.quantise(workload, model, fitting)
        return model, {
            "bits": self.bits,
            "kernel": kernel,
            "layers": len(fitting),
            "kept_layers": len(found) - len(fitting),
            "parameters": parameters,
            "weights_bytes_before": before,
            "weights_bytes": weights_bytes(model),
        }

    def fits(self, layer: nn.Linear) -> bool:
        """Return whether the kernels take the layer's shape."""
        return True

    @abc.abstractmethod
    def quantise(self, workload: Workload, model: nn.Module, found: Mapping[str, nn.Linear]) -> str:
        """Quantise the layers in place; return whose kernels run them."""


def _by_torchao(model: nn.Module, configs: Mapping[str, Any]) -> None:
    """Quantise each named layer by its torchao configuration."""
    from torchao.quantization import quantize_

    for name, config in configs.items():
        quantize_(model.get_submodule(name), config)


def _spec(name: str, title: str, summary: str, **settings: Setting) -> TransformSpec:
    return TransformSpec(
        name=name,
        title=title,
        summary=summary,
        modes=INFERENCE,
        needs=frozenset({"linear"}),
        settings=settings | {"layers": layers.LAYERS},
        precisions=PRECISIONS,
        library="torchao",
    )


class Int8Weight(Quantisation):
    """Weights in int8 with a scale for each row; products in the trial's precision.

    On the CPU our own kernels run where they can, which store an embedding that is the output layer too.
    """

    spec: ClassVar[TransformSpec] = _spec(
        name="int8_weight",
        title="int8, weights only",
        summary="Store linear layers in int8 with a scale for each row; multiply in the trial's precision",
    )

    def quantise(self, workload: Workload, model: nn.Module, found: Mapping[str, nn.Linear]) -> str:
        """By our kernels where they run, else by torchao."""
        if (ours := packing.pack(model, found, table=self.settings["layers"] == "all")) is not None:
            return ours
        from torchao.quantization import Int8WeightOnlyConfig

        _by_torchao(model, dict.fromkeys(found, Int8WeightOnlyConfig(set_inductor_config=False)))
        return "torchao"


class Int8Product(Quantisation):
    """Multiplies in int8. On CUDA torch's product takes more than 16 rows, and sides of a multiple of 8."""

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Output layers see one row for each sample, as all do in decoding."""
        if cell.device == "cuda" and (rows := int(cell.size["batch"])) <= LEAST_ROWS:
            return (
                f"int8 products on CUDA take more than {LEAST_ROWS} rows; some layers see the batch's {rows}"
            )
        return super().refusal(cell)

    def fits(self, layer: nn.Linear) -> bool:
        """Other sides would be multiplied on the CPU, without a word."""
        sides = (layer.in_features, layer.out_features)
        return not layer.weight.is_cuda or not any(side % 8 for side in sides)


class Int8Dynamic(Int8Product):
    """Weights and activations in int8, activations scaled as they come.

    On the CPU in fp32 torch's packed kernels run, which are faster there than torchao's; their weights have
    one scale for a layer, torchao's one for a row.
    """

    spec: ClassVar[TransformSpec] = _spec(
        name="int8_dynamic",
        title="int8, dynamic",
        summary="Multiply in int8, activations scaled as they come; packed kernels on the CPU in fp32",
    )

    def quantise(self, workload: Workload, model: nn.Module, found: Mapping[str, nn.Linear]) -> str:
        """By torch on the CPU in fp32 as long as it has the kernels, else by torchao."""
        import torch

        weight = next(iter(found.values())).weight
        plain = weight.device.type == "cpu" and weight.dtype == torch.float32
        if plain and torch_int8.removed() is None:
            with torch_int8.packed() as quantization:
                quantization.quantize_dynamic(model, set(found), torch.qint8, inplace=True)
            return f"torch {torch.backends.quantized.engine}"
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig

        config = Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
        _by_torchao(model, dict.fromkeys(found, config))
        return "torchao"


class Int8Static(Int8Product):
    """Weights and activations in int8, each layer's inputs by one scale found beforehand.

    The scale is the largest magnitude that the layer saw in the calibration batches, none of them measured.
    """

    spec: ClassVar[TransformSpec] = _spec(
        name="int8_static",
        title="int8, static",
        summary="Multiply in int8, inputs scaled by what calibration batches showed",
        batches=Setting(2, "batches to calibrate with", (), 1, 1000),
    )

    def quantise(self, workload: Workload, model: nn.Module, found: Mapping[str, nn.Linear]) -> str:
        """Calibrate, then by torchao; a layer that no batch reaches stays as it is."""
        from torchao.quantization import Int8StaticActivationInt8WeightConfig, PerRow, PerTensor

        from workloads.models.packed import RowLinear

        scales = calibrated(workload, model, found, int(self.settings["batches"]))
        configs = {
            name: Int8StaticActivationInt8WeightConfig(
                act_quant_scale=scale, granularity=[PerTensor(), PerRow()], set_inductor_config=False
            )
            for name, scale in scales.items()
        }
        _by_torchao(model, configs)
        for name in scales:
            model.get_submodule(name).__class__ = RowLinear
        return "torchao"


FIRST_CALIBRATION_BATCH = 1000
"""Far behind the batches that are measured."""


def calibrated(
    workload: Workload, model: nn.Module, found: Mapping[str, nn.Linear], batches: int
) -> dict[str, torch.Tensor]:
    """Return each layer's input scale, max |x| / 127 over the batches, (1, 1)."""
    import torch

    from workloads.inputs.batches import to_device

    scales: dict[str, torch.Tensor] = {}
    handles = []
    for name, layer in found.items():

        def look(_layer: nn.Module, inputs: tuple[torch.Tensor, ...], name: str = name) -> None:
            largest = inputs[0].abs().amax().float().clamp(min=1e-6) / 127
            before = scales.get(name, largest)
            scales[name] = torch.maximum(before, largest).view(1, 1)

        handles.append(layer.register_forward_pre_hook(look))
    weight = next(iter(found.values())).weight
    with torch.no_grad():
        for number in range(batches):
            batch = workload.make_batch(FIRST_CALIBRATION_BATCH + number)
            batch = to_device(batch, weight.device, weight.dtype)
            if isinstance(workload, GenerativeWorkload):
                workload.prefill(model, batch, batch["tokens"].shape[1])
            else:
                workload.infer(model, batch)
    for handle in handles:
        handle.remove()
    return scales


class Int4Weight(Quantisation):
    """Weights in int4, a scale and a zero for each group of a row; products in bf16, whatever the precision.

    Torch's kernel for the CPU takes fp32 and fp16 too, but by loops many times slower.
    """

    bits: ClassVar[int] = 4
    spec: ClassVar[TransformSpec] = _spec(
        name="int4_weight",
        title="int4, weights only",
        summary="Store linear layers in int4 with a scale and zero for each group; multiply in bf16",
        group=Setting(32, "weights of a row that share a scale", (32, 64, 128, 256)),
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """On CUDA the tensor cores of bf16 would be held against the peak of another precision."""
        if cell.device == "cuda" and cell.precision != "bf16":
            return (
                f"int4_weight multiplies in bf16 and takes no other precision on CUDA, not {cell.precision}"
            )
        return super().refusal(cell)

    def fits(self, layer: nn.Linear) -> bool:
        """Rows must be whole groups, and on CUDA outputs come in eights."""
        whole = layer.in_features % int(self.settings["group"]) == 0
        return whole and layer.out_features % (8 if layer.weight.is_cuda else 16) == 0

    def quantise(self, workload: Workload, model: nn.Module, found: Mapping[str, nn.Linear]) -> str:
        """By our kernels where they run, else by torchao's packing for the device."""
        import torch

        from workloads.models.packed import HalfLinear

        group, whole = int(self.settings["group"]), self.settings["layers"] == "all"
        if (ours := packing.pack(model, found, table=whole, int4_group=group)) is not None:
            return ours
        for layer in found.values():
            layer.to(torch.bfloat16).__class__ = HalfLinear
        if next(iter(found.values())).weight.is_cuda:
            from torchao.quantization import Int4WeightOnlyConfig

            config: Any = Int4WeightOnlyConfig(
                group_size=group, int4_packing_format=TINYGEMM, set_inductor_config=False
            )
        else:
            from torchao.prototype.quantization.int4.inference_workflow import PrototypeInt4WeightOnlyConfig

            config = PrototypeInt4WeightOnlyConfig(group_size=group, set_inductor_config=False)
        _by_torchao(model, dict.fromkeys(found, config))
        return "torch int4pack, packed by torchao"


class Fp8(Quantisation):
    """Weights in fp8 (e4m3) with a scale for each row; on CUDA activations too, scaled as they come."""

    spec: ClassVar[TransformSpec] = _spec(
        name="fp8",
        title="fp8",
        summary="Store linear layers in fp8 with a scale for each row; on CUDA also multiply in fp8",
        activations=Setting(False, "quantise activations too and multiply in fp8; CUDA and bf16 only"),
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Products in fp8 are those of tensor cores."""
        if cell.compress_settings["activations"]:
            if cell.device != "cuda":
                return f"fp8 activations=true multiplies by fp8 tensor cores; {cell.device} has none"
            if cell.precision != "bf16":
                return f"fp8 activations=true gives bf16, not {cell.precision}"
        return super().refusal(cell)

    def fits(self, layer: nn.Linear) -> bool:
        """Products in fp8 take sides of a multiple of 16."""
        sides = (layer.in_features, layer.out_features)
        return not self.settings["activations"] or not any(side % 16 for side in sides)

    def quantise(self, workload: Workload, model: nn.Module, found: Mapping[str, nn.Linear]) -> str:
        """By torchao.

        Raises:
            UnsupportedError: this GPU has no fp8 tensor cores.
        """
        import torch
        from torchao import quantization

        if not self.settings["activations"]:
            config: Any = quantization.Float8WeightOnlyConfig(set_inductor_config=False)
        elif torch.cuda.get_device_capability(next(iter(found.values())).weight.device) < (8, 9):
            raise UnsupportedError("fp8 activations=true needs compute capability 8.9 or later")
        else:
            config = quantization.Float8DynamicActivationFloat8WeightConfig(
                granularity=quantization.PerRow(), set_inductor_config=False
            )
        _by_torchao(model, dict.fromkeys(found, config))
        return "torchao"
