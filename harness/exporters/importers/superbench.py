"""SuperBench's `results-summary.jsonl`: an object a node, whose keys name benchmark, metric and rank."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import FieldError, take
from harness.exporters.importers.definitions import Definition, LeftOut, Tool, result, seconds
from harness.records.foreign import ForeignResult

_NAMES = "gpt2|llama|mixtral|bert|lstm|resnet|densenet|vgg"
_MODELS = rf"(?:model-benchmarks|megatron-gpt|pytorch-(?:{_NAMES}).*?)"
_US, _MS, _NS = seconds(1e-6, "us"), seconds(1e-3, "ms"), seconds(1e-9, "ns")
_S = seconds(1.0, "s")
_RATE: dict[str, Any] = {"their_unit": "samples/s", "direction": "higher"}


def _percentile(at: str, ours: str | None) -> Definition:
    return Definition(
        rf"{_MODELS}/.*_inference_step_time_{re.escape(at)}",
        f"model-benchmarks/fp32_inference_step_time_{at}",
        statistic=f"p{at}", phase="inference", meaning="percentile of a model's step time", ours=ours, **_MS,
    )  # fmt: skip


def _bandwidth(benchmarks: str, example: str, unit: str = "GB/s", ending: str = "_bw") -> Definition:
    return Definition(
        rf"(?:{benchmarks})/.*{ending}(?:_\d+)?(?::.*)?", example, unit, "mean", "transfer", "bandwidth",
        direction="higher",
    )  # fmt: skip


TOOL = Tool(
    "superbench",
    "0.12 and main at 006f50c",
    "docs/user-tutorial/benchmarks/micro-benchmarks.md and model-benchmarks.md of microsoft/superbenchmark",
    (
        Definition(
            rf"{_MODELS}/.*_(?:train|inference)_step_time", "model-benchmarks/fp16_train_step_time",
            statistic="mean", phase="training or inference", meaning="a model's step", ours="iteration.mean",
            **_MS,
        ),
        _percentile("50", "latency.p50"), _percentile("90", "latency.p90"), _percentile("95", None),
        _percentile("99", "latency.p99"), _percentile("99.9", None),
        Definition(
            rf"{_MODELS}/.*_(?:train|inference)_throughput", "model-benchmarks/fp16_train_throughput",
            statistic="mean", phase="training or inference", meaning="samples per second and GPU",
            ours="throughput.samples", **_RATE,
        ),
        Definition(
            rf"{_MODELS}/.*_throughput_[\d.]+", "model-benchmarks/fp32_inference_throughput_99",
            statistic="percentile", phase="inference", meaning="percentile of the throughput", **_RATE,
        ),
        Definition(
            r"pytorch-dist-inference/step_times", "pytorch-dist-inference/step_times",
            statistic="mean", phase="inference", meaning="a run of the distributed model", **_MS,
        ),
        Definition(
            r"pytorch-dist-inference/step_times_[\d.]+", "pytorch-dist-inference/step_times_99",
            statistic="percentile", phase="inference", meaning="tail of the model's runs", **_MS,
        ),
        Definition(
            r"[nr]ccl-bw/.*_time", "nccl-bw/allreduce_8388608_time",
            statistic="mean", phase="collective", meaning="latency of a collective", **_US,
        ),
        _bandwidth("[nr]ccl-bw", "nccl-bw/allreduce_8388608_busbw", ending="_(?:alg|bus)bw"),
        Definition(
            r"(?:cublas|cudnn)-function/.*_time", "cublas-function/name_gemm_m_512_time",
            statistic="mean", phase="kernel", meaning="a library function", **_US,
        ),
        Definition(
            r"gpcnet-network-(?:load-)?test/.*(?:two-sided_lat|_time)_(?:min|max|avg|[\d.]+%?)",
            "gpcnet-network-test/multiple_allreduce_time_avg",
            statistic="as named", phase="network", meaning="latency over all nodes", **_US,
        ),
        Definition(
            r"kernel-launch/(?:event|wall)_time", "kernel-launch/event_time",
            statistic="mean", phase="launch", meaning="launch latency (up to 0.12)", **_MS,
        ),
        Definition(
            r"kernel-launch/.*_us", "kernel-launch/device_launch_us",
            statistic="mean", phase="launch", meaning="launch latency (main)", **_US,
        ),
        Definition(
            r"pytorch-(?:sharding-|computation-communication-overlap|matmul).*/.*_time",
            "pytorch-sharding-matmul/allreduce_time",
            statistic="mean", phase="matrix product", meaning="a product, alone or with communication", **_MS,
        ),
        Definition(
            r"(?:tensorrt|ort)-inference/.*_time(?:_mean)?", "ort-inference/fp32_resnet50_time",
            statistic="mean", phase="inference", meaning="a batch or a query in another runtime", **_MS,
        ),
        Definition(
            r"(?:tensorrt|ort)-inference/.*_time_[\d.]+", "tensorrt-inference/resnet50_gpu_time_99",
            statistic="percentile", phase="inference", meaning="tail of the same", **_MS,
        ),
        Definition(
            r"tcp-connectivity/.*_time_(?:min|max|avg)", "tcp-connectivity/10.0.0.2_time_avg",
            statistic="as named", phase="network", meaning="latency of a connection", **_MS,
        ),
        Definition(
            r"(?:gpu-burn|cpu-hpl)/time|gpu-hpcg/(?:setup|optimization|total)_time", "cpu-hpl/time",
            statistic="total", phase="whole run", meaning="how long the run took", **_S,
        ),
        Definition(
            r"cpu-stream/.*_time_(?:avg|min|max)|gpu-stream/STREAM_.*_time(?:_min|_max|_avg)?",
            "cpu-stream/copy_time_avg",
            statistic="as named", phase="kernel", meaning="a kernel of STREAM", **_S,
        ),
        Definition(
            r"cpu-memory-bw-latency/.*_lat", "cpu-memory-bw-latency/mem_bandwidth_matrix_numa_0_1_lat",
            statistic="mean", phase="memory", meaning="latency of memory", **_NS,
        ),
        Definition(
            r"disk-benchmark/.*_lat_ns_[\d.]+", "disk-benchmark/nvme0_rand_read_write_read_lat_ns_99.0",
            statistic="percentile", phase="disk", meaning="latency of a disk", **_NS,
        ),
        Definition(
            r"nvbandwidth/.*_lat|ib-traffic/ib_.*_lat_.*", "nvbandwidth/host_device_latency_sm_sum_lat",
            statistic="as named", phase="transfer", meaning="latency of a copy or message", **_US,
        ),
        Definition(
            r"cpu-hpl/throughput", "cpu-hpl/throughput", "GFLOP/s", "total", "whole run", "HPL's rate",
            unit="FLOP/s", scale=1e9, direction="higher",
        ),
        Definition(
            r"gemm-flops/.*_flops", "gemm-flops/fp16_tc_flops", "GFLOP/s", "peak", "kernel",
            "rate of matrix products", unit="FLOP/s", scale=1e9, direction="higher",
        ),
        Definition(
            r"(?:cublas|hipblas)lt-gemm/.*_flops", "cublaslt-gemm/fp16_1_64_64_64_flops", "TFLOP/s", "mean",
            "kernel", "rate of matrix products", unit="FLOP/s", scale=1e12, direction="higher",
        ),
        _bandwidth("cpu-stream", "cpu-stream/copy_throughput", "MB/s", "_throughput"),
        _bandwidth("cpu-memory-bw-latency", "cpu-memory-bw-latency/mem_max_bandwidth_all_reads_bw", "MB/s"),
        _bandwidth(
            "mem-bw|gpu-copy-bw|gpu-stream|ib-loopback|ib-traffic|nvbandwidth", "mem-bw/h2d_bw",
        ),
    ),
    "A benchmark may be written `NAME:ANNOTATION`, a metric `METRIC:RANK`; both are left off for the table.",
)  # fmt: skip


def results(data: Any) -> Iterator[ForeignResult | LeftOut]:
    """Yield every number of every node; return codes are left out."""
    for i, node in enumerate(data, 1):
        where = f"line {i}"
        try:
            name = take(node, "node", str, where)
        except FieldError as error:
            yield LeftOut(str(error))
            continue
        for key, value in node.items():
            if key == "node" or value is None or "return_code" in key:
                continue
            benchmark, _, metric = key.rpartition("/")
            if not benchmark:
                yield LeftOut(f"{where}.{key}: not BENCHMARK/METRIC")
                continue
            yield result(
                TOOL, _table_name(benchmark, metric), f"{name} {benchmark}", metric, value, f"{where}.{key}",
                facts={"node": name},
            )  # fmt: skip


def _table_name(benchmark: str, metric: str) -> str:
    """Return `BENCHMARK/METRIC` without the annotation, the model's part and the rank."""
    return f"{re.split(r'[:/]', benchmark)[0]}/{re.sub(r':[0-9]+$', '', metric)}"
