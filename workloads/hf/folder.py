"""A local folder as the library transformers saves models: its configuration and safetensors."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workloads.base import Batch, UnsupportedError

WRITERS = ("LM", "ConditionalGeneration", "LMHeadModel")
"""How the names of models end that predict words, whose labels are words."""


class Folder:
    """A model of transformers over random words or pixels; no code from the folder, no pickle, no network.

    Raises:
        ValueError: the configuration names no model of the library, or one that reads neither words nor
            pixels alone; or the sizes do not fit it.
    """

    def __init__(self, path: Path, batch: int, seq: int) -> None:
        import transformers

        named = json.loads((path / "config.json").read_text()).get("architectures") or ["none"]
        kind: Any = getattr(transformers, str(named[0]), None)
        if not (inspect.isclass(kind) and issubclass(kind, transformers.PreTrainedModel)):
            raise ValueError(f"workload.folder={path}: transformers has no model {named[0]}")
        name, reads = kind.__name__, kind.main_input_name
        if reads not in {"input_ids", "pixel_values"} or name.endswith("MultipleChoice"):
            raise ValueError(f"workload.folder: {name} reads {reads} of another form: write a factory")
        self._path, self._batch, self._seq = path, batch, seq
        self._kind = kind
        assert kind.config_class is not None
        config: Any = kind.config_class.from_pretrained(path, local_files_only=True)
        self._config = config
        if reads == "pixel_values" and not hasattr(config, "image_size"):
            raise ValueError(
                f"workload.folder={path}: config.json has no image_size: add it, or write a factory"
            )
        if reads == "input_ids":
            two_texts = config.is_encoder_decoder and not name.endswith((*WRITERS, "Classification"))
            if two_texts or not hasattr(config, "vocab_size"):
                raise ValueError(f"workload.folder: {name} reads more than a text: write a factory")
            if seq > (most := getattr(config, "max_position_embeddings", seq)):
                raise ValueError(
                    f"workload.folder: seq {seq} is more than its {most} positions: workload.seq={most}"
                )

    def build(self) -> nn.Module:
        """Read the weights as fp32; on `meta` build from the configuration."""
        device = torch.get_default_device()
        if device.type == "meta":
            shadow: nn.Module = self._kind(self._config)
            return shadow.float()
        with torch.device("cpu"):
            model: nn.Module = self._kind.from_pretrained(
                self._path,
                config=self._config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
        return model.to(device)

    def inputs(self, index: int) -> Mapping[str, torch.Tensor]:
        """Return words (B, S) or pixels (B, C, side, side), and labels where the model has a loss of them."""
        config, rows = self._config, self._batch
        if self._kind.main_input_name == "pixel_values":
            side = config.image_size
            given = {"pixel_values": torch.randn(rows, config.num_channels, side, side)}
        else:
            given = {"input_ids": torch.randint(config.vocab_size, (rows, self._seq))}
        name = self._kind.__name__
        if name.endswith("Classification"):
            shape = (rows, self._seq) if name.endswith("TokenClassification") else (rows,)
            return given | {"labels": torch.randint(config.num_labels, shape)}
        if name.endswith(WRITERS):
            return given | {"labels": given["input_ids"]}
        return given

    def run(self, model: nn.Module, batch: Batch) -> Any:
        """Return the logits, or the hidden states of a model without a head."""
        labelled = self._config.is_encoder_decoder  # its decoder reads them
        out = model(**{name: each for name, each in batch.items() if labelled or name != "labels"})
        return out.logits if "logits" in out else out

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the model's own loss.

        Raises:
            UnsupportedError: it has none of random classes or words.
        """
        loss: torch.Tensor | None = model(**batch).get("loss")
        if loss is None:
            name = self._kind.__name__
            raise UnsupportedError(f"{name} has no loss of random classes or words: write a factory with one")
        return loss
