"""Find workloads by name: our own, and other packages' through the entry point `joulemark.workloads`."""

from __future__ import annotations

from workloads.base import Workload
from workloads.plugins import classes

BUILT_IN = {
    "resnet": "workloads.catalogue.resnet:ResNet",
    "mlp": "workloads.catalogue.mlp:MLPClassifier",
    "lstm": "workloads.catalogue.lstm:LSTMLanguageModel",
    "bert": "workloads.catalogue.bert:Bert",
    "ner": "workloads.catalogue.tagging:Tagging",
    "gpt": "workloads.catalogue.gpt:GPT",
    "llama": "workloads.catalogue.llama:Llama",
    "moe": "workloads.catalogue.moe:MixtureOfExperts",
    "mamba": "workloads.catalogue.mamba:Mamba",
    "vit": "workloads.catalogue.vit:ViT",
    "inception": "workloads.catalogue.inception:Inception",
    "adversarial": "workloads.catalogue.adversarial:Adversarial",
    "explanation": "workloads.catalogue.explanation:Explanation",
    "fasterrcnn": "workloads.catalogue.fasterrcnn:FasterRCNN",
    "dlrm": "workloads.catalogue.dlrm:DLRM",
    "translation": "workloads.catalogue.translation:Translation",
    "skipgram": "workloads.catalogue.skipgram:SkipGram",
    "autoencoder": "workloads.catalogue.autoencoder:Autoencoder",
    "dit": "workloads.catalogue.dit:DiT",
    "gan": "workloads.catalogue.gan:GAN",
    "maskgit": "workloads.catalogue.maskgit:MaskGIT",
    "unet": "workloads.catalogue.unet:UNet",
    "t5": "workloads.hf.t5:T5",
    "whisper": "workloads.hf.whisper:Whisper",
    "clip": "workloads.hf.clip:CLIP",
    "wav2vec2": "workloads.hf.wav2vec2:Wav2Vec2",
    "llava": "workloads.hf.llava:LLaVA",
    "detr": "workloads.hf.detr:DETR",
    "speecht5": "workloads.hf.speecht5:SpeechT5",
    "gpt_jax": "workloads.jax.witness:GPTInJax",
    "resnet_jax": "workloads.jax.witness:ResNetInJax",
    "user": "workloads.user.workload:User",
    "endpoint": "workloads.catalogue.endpoint:Endpoint",
    "matmul": "workloads.catalogue.operators:MatrixProduct",
    "attention": "workloads.catalogue.operators:Attention",
    "softmax": "workloads.catalogue.operators:Softmax",
    "layernorm": "workloads.catalogue.operators:LayerNorm",
    "convolution": "workloads.catalogue.operators:Convolution",
    "embedding": "workloads.catalogue.operators:Embedding",
    "optimizer": "workloads.catalogue.optimizer:OptimizerStep",
    "copy": "workloads.catalogue.copying:Copy",
    "collectives": "workloads.catalogue.collectives:Collectives",
    "dataloading": "workloads.catalogue.dataloading:DataLoading",
    "checkpoint": "workloads.catalogue.checkpoint:Checkpoint",
    "noop": "workloads.catalogue.selftest:Noop",
    "spin": "workloads.catalogue.selftest:Spin",
    "faults": "workloads.catalogue.selftest:Faults",
}
WORKLOADS = classes(Workload, "joulemark.workloads", BUILT_IN)  # type: ignore[type-abstract]
names, get, broken = WORKLOADS.names, WORKLOADS.get, WORKLOADS.broken
