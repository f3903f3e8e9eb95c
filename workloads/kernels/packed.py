"""Linear layers with weights of 8 or 4 bits, in the order in which the C kernels read them.

See `packed.c` for that order. Products of few rows are the kernels'; for many, the weights are unpacked.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from workloads.kernels.linear import DTYPES, callable_here, run

BLOCK = 16
"""Outputs whose weights lie together."""
FEW = 32
"""Rows of x up to which the kernels are faster than to unpack the weights and multiply."""


class PackedLinear(nn.Module):
    """A linear layer whose weights are whole numbers times a scale.

    `numbers` are the stored bytes, in blocks of 16 outputs; `bias` is in fp32. A subclass unpacks them.
    """

    numbers: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("bias", None if bias is None else _padded(bias.detach().float()))

    @property
    def weight(self) -> torch.Tensor:
        """The weights that the numbers stand for, (out, in) in fp32."""
        raise NotImplementedError

    def kernel(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Write the product of rows x (N, in) into y (N, out, padded)."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (…, in) to (…, out)."""
        # `len` of a tensor takes microseconds, and a step asks for every layer.
        rows, out = x.reshape(-1, self.in_features), self.out_features
        count = rows.shape[0]
        if count > FEW or not callable_here(x):
            bias = None if self.bias is None else self.bias[:out].to(x.dtype)
            return F.linear(x, self.weight.to(x.dtype), bias)
        padded = -(-out // BLOCK) * BLOCK
        y = x.new_empty((count, padded))
        self.kernel(rows.contiguous(), y)
        return (y if padded == out else y[:, :out]).view(*x.shape[:-1], out)


class Int8Linear(PackedLinear):
    """Weights in int8 with a scale for each output."""

    scale: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__(weight, bias)
        rows = _padded(weight.detach().float())
        scale = _nonzero(rows.abs().amax(1) / 127)
        numbers = ((rows / scale[:, None]).round() + 128).to(torch.uint8)
        blocks = numbers.view(-1, BLOCK, self.in_features // 4, 4).transpose(1, 2).contiguous()
        self.register_buffer("numbers", blocks)  # (blocks, in / 4, 16, 4)
        self.register_buffer("scale", scale)

    @property
    def weight(self) -> torch.Tensor:
        """The weights, (out, in) in fp32."""
        rows = self.numbers.transpose(1, 2).reshape(-1, self.in_features)[: self.out_features]
        return (rows.float() - 128) * self.scale[: self.out_features, None]

    def rows(self, wanted: torch.Tensor) -> torch.Tensor:
        """Return the weights of these outputs (…), (…, in) in fp32."""
        numbers = self.numbers[wanted // BLOCK, :, wanted % BLOCK].flatten(-2)
        return (numbers.float() - 128) * self.scale[wanted, None]

    def kernel(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """By `linear_i8`."""
        bias = None if self.bias is None else self.bias.data_ptr()
        run("linear_i8", x.data_ptr(), self.numbers.data_ptr(), self.scale.data_ptr(), bias, y.data_ptr(),
            x.shape[0], y.shape[1], self.in_features, x.dtype == torch.bfloat16,
            torch.get_num_threads())  # fmt: skip


class Int4Linear(PackedLinear):
    """Weights in int4 with a scale and a zero in bf16 for each group of an output's weights.

    w = scale · (number - 8) + zero. The numbers of a group span from its least to its largest weight.
    """

    scales: torch.Tensor
    zeros: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, group: int) -> None:
        super().__init__(weight, bias)
        self.group = group
        groups = _padded(weight.detach().float()).view(-1, self.in_features // group, group)
        low, high = groups.aminmax(dim=2)
        scale = ((high - low) / 15).bfloat16().float()
        zero = (low + 8 * scale).bfloat16().float()
        numbers = (
            ((groups - zero[:, :, None]) / _nonzero(scale)[:, :, None] + 8)
            .round()
            .clamp(0, 15)
            .to(torch.uint8)
        )
        steps = numbers.view(-1, BLOCK, self.in_features // 8, 2, 4).permute(3, 0, 2, 1, 4)
        self.register_buffer("numbers", (steps[0] | steps[1] << 4).contiguous())  # (blocks, in / 8, 16, 4)
        for name, value in (("scales", scale), ("zeros", zero)):
            block = value.bfloat16().view(-1, BLOCK, value.shape[1]).transpose(1, 2)
            self.register_buffer(name, block.contiguous())  # (blocks, in / group, 16)

    @property
    def weight(self) -> torch.Tensor:
        """The weights, (out, in) in fp32."""
        both = torch.stack((self.numbers & 15, self.numbers >> 4), 2)  # (blocks, in / 8, 2, 16, 4)
        groups = both.permute(0, 3, 1, 2, 4).reshape(-1, self.in_features // self.group, self.group)
        scale, zero = (
            t.transpose(1, 2).reshape(-1, t.shape[1], 1).float() for t in (self.scales, self.zeros)
        )
        return ((groups.float() - 8) * scale + zero).flatten(1)[: self.out_features]

    def kernel(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """By `linear_i4`."""
        bias = None if self.bias is None else self.bias.data_ptr()
        run("linear_i4", x.data_ptr(), self.numbers.data_ptr(), self.scales.data_ptr(), self.zeros.data_ptr(),
            bias, y.data_ptr(), x.shape[0], y.shape[1], self.in_features, self.group,
            x.dtype == torch.bfloat16, torch.get_num_threads())  # fmt: skip


class Int8Table(nn.Module):
    """An embedding that is the output layer too, in int8 with a scale for each word."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.words, self.dtype = Int8Linear(table.weight), table.weight.dtype
        self.num_embeddings, self.embedding_dim = table.weight.shape

    @property
    def weight(self) -> torch.Tensor:
        """The table (V, d), in the precision of what it gives."""
        return self.words.weight.to(self.dtype)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (…) to (…, d).

        Raises:
            IndexError: a token is none of the table's.
        """
        plain = type(tokens) is torch.Tensor and tokens.device.type == "cpu" and tokens.dtype == torch.int64
        if not plain or self.dtype not in DTYPES or torch.compiler.is_compiling():
            return self.words.rows(tokens).to(self.dtype)
        tokens, words = tokens.contiguous(), self.words
        y = torch.empty((*tokens.shape, self.embedding_dim), dtype=self.dtype)
        run("rows_i8", words.numbers.data_ptr(), words.scale.data_ptr(), tokens.data_ptr(), y.data_ptr(),
            tokens.numel(), self.num_embeddings, self.embedding_dim,
            self.dtype == torch.bfloat16)  # fmt: skip
        return y

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (…, V) of (…, d)."""
        logits: torch.Tensor = self.words(x)
        return logits


def _padded(rows: torch.Tensor) -> torch.Tensor:
    missing = -len(rows) % BLOCK
    return F.pad(rows, (0, 0) * (rows.dim() - 1) + (0, missing))


def _nonzero(scale: torch.Tensor) -> torch.Tensor:
    """Return a scale to divide by: 1 where all weights are equal."""
    return torch.where(scale > 0, scale, 1.0)
