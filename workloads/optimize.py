"""What speeds the same model up without changing what it computes; loads without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from workloads.base import SERVE, TRAINING, GenerativeWorkload, UnsupportedError, Workload, WorkloadSpec

if TYPE_CHECKING:
    from torch import nn

CompileMode = Literal["default", "reduce-overhead", "max-autotune"]
Attention = Literal["auto", "math", "flash", "efficient", "cudnn"]
GRAPHED = ("infer", "prefill", "decode")


@dataclass(frozen=True, slots=True)
class Optimize:
    """The optimisations of one trial; the defaults are the plain eager model."""

    compile: CompileMode | None = None
    """A mode of `torch.compile`, which fuses operators; None is eager."""
    cuda_graphs: bool = False
    """Capture the step of each batch once and replay it: one launch in place of hundreds."""
    checkpoint: bool = False
    """Keep only the inputs of the repeated blocks, and compute them again in the backward pass."""
    update: Literal["auto", "loop", "foreach", "fused"] = "auto"
    """How the optimizer walks its tensors: one by one, in lists, or in one kernel.

    `auto` is one kernel, but for SGD over spread weights, where torch has none, and in fp16 (see
    `update_refusal`).
    """
    channels_last: bool = False
    """Keep images and convolution weights with the channels innermost."""
    kv_cache: Literal["static", "growing"] = "static"
    """Allocate the keys and values of all positions at once, or append to them at every token."""
    attention: Attention = "auto"
    """The only back end that attention may use; `auto` is torch's choice."""
    expandable_segments: bool = False
    """Let CUDA's caching allocator grow its segments, against fragmentation."""


EAGER = Optimize()


def refusal(wanted: Optimize, spec: WorkloadSpec, mode: str, device: str) -> str | None:
    """Return why these optimisations cannot work on this workload, mode and device; None when they can."""
    training = mode in TRAINING
    if mode == SERVE and (reason := _serving_refusal(wanted)) is not None:
        return reason
    rules = (
        (wanted.compile is not None and "compiles" not in spec.traits, f"{spec.name} cannot be compiled"),
        (
            wanted.compile == "reduce-overhead" and device != "cuda",
            "reduce-overhead is the default mode with CUDA graphs, which exist on CUDA devices only",
        ),
        (wanted.cuda_graphs and device != "cuda", "CUDA graphs exist on CUDA devices only"),
        (
            wanted.cuda_graphs and mode not in GRAPHED,
            f"optimize.cuda_graphs captures {', '.join(GRAPHED)}; for {mode} use compile=reduce-overhead",
        ),
        (
            wanted.cuda_graphs and "compiles" not in spec.traits,
            f"optimize.cuda_graphs captures what runs on the device; a step of {spec.name} works on the host",
        ),
        (
            wanted.cuda_graphs and wanted.compile is not None,
            "optimize.cuda_graphs captures the eager step; the compiler makes graphs of its own",
        ),
        (wanted.checkpoint and not training, f"activation checkpoints need a backward pass; {mode} has none"),
        (
            wanted.checkpoint and "blocks" not in spec.traits,
            f"{spec.name} has no repeated blocks to checkpoint",
        ),
        (wanted.update != "auto" and not training, f"optimize.update needs an optimizer; {mode} has none"),
        (
            wanted.channels_last and "convolution" not in spec.traits,
            f"{spec.name} has no images whose channels could lie innermost",
        ),
        (
            wanted.kv_cache == "growing" and (training or "kv_cache" not in spec.traits),
            f"{spec.name} keeps no keys and values in mode {mode}",
        ),
        (
            wanted.attention != "auto" and "attention" not in spec.traits,
            f"{spec.name} does not attend by scaled_dot_product_attention",
        ),
        (
            wanted.attention == "flash" and "masked" in spec.traits and device != "cpu",
            f"{spec.name} attends under a mask, which the flash back end takes on the CPU alone",
        ),
        (
            wanted.attention == "flash" and "biased" in spec.traits and training,
            f"{spec.name} learns a bias of its attention, of which the flash back end takes no gradient",
        ),
        (
            wanted.attention in {"efficient", "cudnn"} and device != "cuda",
            f"the attention back end {wanted.attention} exists on CUDA devices only",
        ),
        (
            wanted.expandable_segments and device != "cuda",
            "optimize.expandable_segments sets CUDA's allocator; the CPU has another",
        ),
    )
    return next((reason for broken, reason in rules if broken), None)


def _serving_refusal(wanted: Optimize) -> str | None:
    if wanted.compile is not None:
        return "an engine's batch changes with every step, and with it the shapes that optimize.compile takes"
    return "an engine's cache is made once: its rows are slots" if wanted.kv_cache == "growing" else None


def update_refusal(wanted: Optimize, optimizer: str | None, precision: str) -> str | None:
    """Return why this optimizer cannot walk its tensors so in this precision; None when it can.

    In a step that the gradient scaler skips, torch's fused SGD leaves a momentum that is no gradient's.
    """
    if wanted.update == "fused" and optimizer == "sgd" and precision == "fp16":
        return "torch's SGD in one kernel spoils its momentum where scaled fp16 gradients overflow"
    return None


def apply(wanted: Optimize, workload: Workload, model: nn.Module) -> None:
    """Change the model in place, and what this process does with attention.

    Raises:
        UnsupportedError: this model has nothing that could be optimised so.
    """
    if wanted.channels_last:
        import torch

        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if wanted.checkpoint:
        _checkpoint(workload, model)
    if isinstance(workload, GenerativeWorkload):
        workload.kv_cache = wanted.kv_cache
    choose_attention(wanted.attention)


def choose_attention(name: Attention) -> None:
    """Allow one back end of scaled_dot_product_attention in this process, or all of them."""
    import torch.backends.cuda as switches

    for backend in ("flash", "mem_efficient", "math", "cudnn"):
        on = name in ("auto", {"mem_efficient": "efficient"}.get(backend, backend))
        getattr(switches, f"enable_{backend}_sdp")(on)


def _checkpoint(workload: Workload, model: nn.Module) -> None:
    from torch.utils.checkpoint import checkpoint

    blocks = workload.blocks(model)
    if not blocks:
        raise UnsupportedError(f"{workload.spec.name} has no repeated blocks to checkpoint")
    for (
        module
    ) in model.modules():  # a block of transformers that is computed again would write its keys twice
        config: Any = getattr(module, "config", None)
        if hasattr(config, "use_cache"):
            config.use_cache = False
    for block in dict.fromkeys(blocks):
        inner = block.forward

        def forward(*args: Any, _inner: Any = inner, **named: Any) -> Any:
            return checkpoint(_inner, *args, use_reentrant=False, **named)

        block.forward = forward


def allocator_environment(wanted: Optimize) -> dict[str, str]:
    """Return the environment that the allocator reads when the device is first used."""
    return {"PYTORCH_ALLOC_CONF": "expandable_segments:True"} if wanted.expandable_segments else {}
