"""Compressors by name; other packages add theirs through the entry point `joulemark.compressors`."""

from __future__ import annotations

from workloads.compress.base import Compressor
from workloads.plugins import classes

BUILT_IN = {
    "prune": "workloads.compress.pruning:Prune",
    "prune_2_4": "workloads.compress.pruning:TwoInFour",
    "codebook": "workloads.compress.codebook:Codebook",
    "tie_blocks": "workloads.compress.tying:TieBlocks",
    "svd": "workloads.compress.low_rank:SVD",
    "prune_channels": "workloads.compress.channels:PruneChannels",
    "average": "workloads.compress.fusion:Average",
    "ensemble": "workloads.compress.fusion:Ensemble",
    "aggregate_gradients": "workloads.compress.fusion:AggregateGradients",
    "fold_batch_norm": "workloads.compress.folding:FoldBatchNorm",
    "distill": "workloads.compress.distillation:Distill",
    "lora": "workloads.compress.adapters:LoRA",
    "adalora": "workloads.compress.adapters:AdaLoRA",
    "adapters": "workloads.compress.adapters:Adapters",
    "prefix": "workloads.compress.adapters:Prefix",
    "int8_weight": "workloads.compress.quantisation:Int8Weight",
    "int8_dynamic": "workloads.compress.quantisation:Int8Dynamic",
    "int8_static": "workloads.compress.quantisation:Int8Static",
    "int4_weight": "workloads.compress.quantisation:Int4Weight",
    "fp8": "workloads.compress.quantisation:Fp8",
    "int8_recurrent": "workloads.compress.packed:Int8Recurrent",
    "int8_convolution": "workloads.compress.packed:Int8Convolution",
}
COMPRESSORS = classes(Compressor, "joulemark.compressors", BUILT_IN)

PLAIN = ("prune_channels", "tie_blocks", "svd", "average", "distill")
"""Those that leave a model of plain modules, which may be sharded as any other."""
SHARED = (*PLAIN, "prune", "prune_2_4", "codebook", "lora", "adapters")
"""Those under which each sample adds to one gradient, so that ranks may share a batch."""
