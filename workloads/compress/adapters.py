"""Fine-tuning of a few added weights beside a frozen model: LoRA, AdaLoRA, adapters and prefixes."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar, cast

from workloads.base import TRAINING, Batch, Workload
from workloads.compress import layers
from workloads.compress.base import LEARNS, PRECISIONS, Compressor
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

RANK = Setting(8, "rank of the matrices that are added", (), 1, 1024)
ALPHA = Setting(16, "scale of what is added, over the rank", (), 1, 4096)
ADAPTER = "default"


class FineTuning(Compressor):
    """Freezes the model and adds weights that train; the optimizer has states for those alone."""

    unjudged: ClassVar[str | None] = LEARNS
    starts_equal: ClassVar[bool] = True

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Add the weights."""
        from workloads.counting.storage import parameter_count

        before = parameter_count(model)
        model = self.extend(workload, model.requires_grad_(requires_grad=False))
        return model, {
            "parameters_before": before,
            "parameters": parameter_count(model),
            "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        }

    @abc.abstractmethod
    def extend(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Return the frozen model with weights that train."""

    def targets(self, model: nn.Module) -> list[str]:
        """Return the names of the chosen linear layers."""
        from torch import nn

        return list(layers.chosen(model, str(self.settings["layers"]), nn.Linear))


class LoRA(FineTuning):
    """Adds a product of two thin matrices to each chosen layer (Hu et al. 2021), by peft."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="lora",
        title="LoRA",
        summary="Fine-tune matrices of low rank beside frozen linear layers",
        modes=TRAINING,
        needs=frozenset({"linear"}),
        settings={"rank": RANK, "alpha": ALPHA, "layers": layers.LAYERS},
        precisions=PRECISIONS,
        library="peft",
    )

    def extend(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Let peft put its layers in."""
        import peft

        config = peft.LoraConfig(
            r=int(self.settings["rank"]),
            lora_alpha=int(self.settings["alpha"]),
            target_modules=self.targets(model),
        )
        extended: nn.Module = peft.inject_adapter_in_model(config, model)
        return extended


class AdaLoRA(FineTuning):
    """LoRA whose ranks move to the layers that need them (Zhang et al. 2023), by peft.

    It starts from `initial_rank` everywhere and masks the least important directions until the mean is
    `rank`, by a schedule over `steps`; weighing them reads values back from the device in some steps.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="adalora",
        title="AdaLoRA",
        summary="Fine-tune matrices whose ranks move between the layers by importance",
        modes=TRAINING,
        needs=frozenset({"linear"}),
        settings={
            "initial_rank": Setting(12, "rank of every layer at first", (), 1, 1024),
            "rank": RANK,
            "alpha": ALPHA,
            "steps": Setting(
                1000, "steps of the schedule: a tenth at first rank, a fifth at the last", (), 20
            ),
            "orthogonality": Setting(0.5, "weight of the penalty that keeps directions apart", (), 0, 10),
            "layers": layers.LAYERS,
        },
        precisions=PRECISIONS,
        library="peft",
    )

    own_loss: ClassVar[bool] = True

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Ranks can only fall."""
        first, last = cell.compress_settings["initial_rank"], cell.compress_settings["rank"]
        if int(first) < int(last):
            return f"initial_rank={first} is below rank={last}, and ranks only fall"
        return super().refusal(cell)

    def extend(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Let peft put its layers in, and keep what allots the ranks."""
        import peft

        steps = int(self.settings["steps"])
        config = peft.AdaLoraConfig(
            init_r=int(self.settings["initial_rank"]),
            target_r=int(self.settings["rank"]),
            lora_alpha=int(self.settings["alpha"]),
            tinit=steps // 10,
            tfinal=steps // 5,
            deltaT=max(1, steps // 100),
            total_step=steps,
            orth_reg_weight=float(self.settings["orthogonality"]),
            target_modules=self.targets(model),
        )
        self._tuner, self._step = peft.AdaLoraModel(model, config, ADAPTER), 0  # type: ignore[no-untyped-call]
        extended: nn.Module = self._tuner.model
        return extended

    def loss(self, workload: Workload, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the workload's loss and the mean distance ‖PᵀP - I‖ of the directions from orthogonal."""
        import torch

        distances = []
        for name, parameter in model.named_parameters():
            if f"lora_A.{ADAPTER}" in name or f"lora_B.{ADAPTER}" in name:
                across = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
                distances.append((across - torch.eye(len(across), device=across.device)).norm())
        penalty = torch.stack(distances).mean()
        return workload.loss(model, batch) + float(self.settings["orthogonality"]) * penalty

    def updated(self) -> None:
        """Weigh the directions by their gradients and mask the least important."""
        import torch

        self._step += 1
        for parameter in self._tuner.model.parameters():
            if parameter.requires_grad and parameter.grad is None:  # a layer that no output depends on
                parameter.grad = torch.zeros_like(parameter)
        self._tuner.update_and_allocate(self._step)  # type: ignore[no-untyped-call]


class Adapters(FineTuning):
    """Adds a small network with a residual behind attention and feed-forward (Houlsby et al. 2019)."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="adapters",
        title="Bottleneck adapters",
        summary="Fine-tune small bottlenecks behind each block's attention and feed-forward network",
        modes=TRAINING,
        needs=frozenset({"linear", "blocks"}),
        settings={"width": Setting(16, "neurons of a bottleneck", (), 1, 4096)},
        precisions=PRECISIONS,
    )
    OUTPUTS: ClassVar[frozenset[str]] = frozenset(
        {"out", "down", "o", "wo", "out_proj", "o_proj", "fc2", "down_proj", "output_dense"}
    )
    """Names of the layers that write to the residual stream."""

    def extend(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Put a bottleneck behind each layer that writes to the residual stream."""
        from torch import nn

        from workloads.models.bottleneck import Adapted

        found = layers.chosen(model, "all", nn.Linear)
        ends = {name: layer for name, layer in found.items() if name.rpartition(".")[2] in self.OUTPUTS}
        width = int(self.settings["width"])
        layers.put(model, [(name, Adapted(layer, width)) for name, layer in ends.items()])
        return model


class Prefix(FineTuning):
    """Trains keys and values that every layer attends to before the input (Li and Liang 2021), by peft."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="prefix",
        title="Prefix tuning",
        summary="Fine-tune keys and values before the input of a frozen model of transformers",
        modes=("train",),
        needs=frozenset({"prefix"}),
        settings={"tokens": Setting(16, "positions of the prefix", (), 1, 1024)},
        precisions=PRECISIONS,
        library="peft",
    )
    starts_equal: ClassVar[bool] = False

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """The wrapped model's blocks are not found."""
        return "prefix hides the blocks that optimize.checkpoint needs" if cell.optimize.checkpoint else None

    def extend(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Let peft wrap the model."""
        import peft

        config = peft.PrefixTuningConfig(
            task_type=peft.TaskType.SEQ_2_SEQ_LM, num_virtual_tokens=int(self.settings["tokens"])
        )
        wrapped: Any = peft.get_peft_model(model, config)
        device = next(model.parameters()).device
        for name, positions in wrapped.prompt_tokens.items():  # each step would copy them, and wait
            wrapped.prompt_tokens[name] = positions.to(device)
        return cast("nn.Module", wrapped)
