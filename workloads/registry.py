"""Find workloads by name: our own, and other packages' through the entry point `joulemark.workloads`."""

from __future__ import annotations

from workloads.base import Workload
from workloads.plugins import Registry

BUILT_IN = {
    "resnet": "workloads.resnet:ResNet",
    "mlp": "workloads.mlp:MLPClassifier",
    "lstm": "workloads.lstm:LSTMLanguageModel",
    "bert": "workloads.bert:Bert",
    "ner": "workloads.tagging:Tagging",
    "gpt": "workloads.gpt:GPT",
    "llama": "workloads.llama:Llama",
    "moe": "workloads.moe:MixtureOfExperts",
    "mamba": "workloads.mamba:Mamba",
    "vit": "workloads.vit:ViT",
    "inception": "workloads.inception:Inception",
    "adversarial": "workloads.adversarial:Adversarial",
    "explanation": "workloads.explanation:Explanation",
    "fasterrcnn": "workloads.fasterrcnn:FasterRCNN",
    "dlrm": "workloads.dlrm:DLRM",
    "translation": "workloads.translation:Translation",
    "skipgram": "workloads.skipgram:SkipGram",
    "autoencoder": "workloads.autoencoder:Autoencoder",
    "dit": "workloads.dit:DiT",
    "gan": "workloads.gan:GAN",
    "maskgit": "workloads.maskgit:MaskGIT",
    "unet": "workloads.unet:UNet",
    "t5": "workloads.hf.t5:T5",
    "whisper": "workloads.hf.whisper:Whisper",
    "clip": "workloads.hf.clip:CLIP",
    "wav2vec2": "workloads.hf.wav2vec2:Wav2Vec2",
    "llava": "workloads.hf.llava:LLaVA",
    "detr": "workloads.hf.detr:DETR",
    "speecht5": "workloads.hf.speecht5:SpeechT5",
    "user": "workloads.user.workload:User",
    "matmul": "workloads.micro:MatrixProduct",
    "attention": "workloads.micro:Attention",
    "softmax": "workloads.micro:Softmax",
    "layernorm": "workloads.micro:LayerNorm",
    "convolution": "workloads.micro:Convolution",
    "embedding": "workloads.micro:Embedding",
    "optimizer": "workloads.optimizer:OptimizerStep",
    "copy": "workloads.copying:Copy",
    "collectives": "workloads.collectives:Collectives",
    "dataloading": "workloads.dataloading:DataLoading",
    "checkpoint": "workloads.checkpoint:Checkpoint",
    "noop": "workloads.selftest:Noop",
    "spin": "workloads.selftest:Spin",
    "faults": "workloads.selftest:Faults",
}
WORKLOADS = Registry(Workload, "joulemark.workloads", BUILT_IN)  # type: ignore[type-abstract]
names, get, broken = WORKLOADS.names, WORKLOADS.get, WORKLOADS.broken
