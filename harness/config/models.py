"""The resolved configuration as frozen models, validated once, before anything starts."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from harness.config.cluster import RayConfig, Scheduler, SlurmConfig
from harness.config.prices import SiteFigures
from harness.config.section import Section
from harness.config.serving import ServeConfig
from harness.records.metrics import METRICS
from harness.records.schema import Name
from harness.system.threads import AUTO, parse_wait
from workloads.optimize import Attention, CompileMode, Optimize
from workloads.plugins import nearest


def _plain(value: object) -> object:
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not isfinite(value)):
        raise ValueError("must be a finite number, a text, true or false")
    return value


Scalar = Annotated[bool | int | float | str, BeforeValidator(_plain)]


MachineName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")]


class WorkloadConfig(Section):
    """What is run. Null means the value that the workload's size gives."""

    name: str
    mode: str = "train"
    size: str = "tiny"
    batch: PositiveInt | None = None
    seq: PositiveInt | None = None
    new_tokens: PositiveInt | None = None
    accumulate: PositiveInt = 1
    optimizer: Literal["sgd", "adamw"] | None = None
    lr: PositiveFloat | None = None
    temperature: float = Field(default=1.0, ge=0.001)
    """Of the draw of tokens; `top_k: 1` is greedy."""
    top_k: PositiveInt | None = None
    data: str | None = None
    """A text file or a folder of images; null is synthetic data."""
    shape: dict[str, Scalar] = Field(default_factory=dict)
    """Any other key of the workload's size, e.g. `{layers: 4}`."""
    factory: str | None = None
    """Of `workload=user`: `module:function`, which makes the model."""
    program: str | None = None
    """Of `workload=user`: a file that `torch.export.save` wrote."""
    folder: str | None = None
    """Of `workload=user`: a folder of transformers with config.json and *.safetensors."""
    source_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """Digest of what those name; null takes what is there, and any other one is refused."""
    url: str | tuple[str, ...] | None = None
    """Of `workload=endpoint`: the base address of an OpenAI-compatible server, `http://127.0.0.1:8000/v1`.

    Several are servers of the same model, between which `serve.balance` chooses.
    """
    model: str | None = Field(default=None, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")
    """Of `workload=endpoint`: what the server calls its model."""
    api: Literal["chat", "completions"] = "chat"
    key_env: str | None = Field(default=None, pattern="^[A-Za-z_][A-Za-z0-9_]{0,99}$")
    """Of `workload=endpoint`: the environment's variable that holds the key."""
    key_file: str | None = None
    """Of `workload=endpoint`: the file that holds the key."""
    extra: dict[str, Scalar] = Field(default_factory=dict)
    """Of `workload=endpoint`: further fields of each request, e.g. `{ignore_eos: true}`."""
    request_s: PositiveFloat = 120.0
    """Of `workload=endpoint`: the longest that a request may take."""
    pause_s: PositiveFloat = 30.0
    """Of `workload=endpoint`: the longest that a stream may say nothing before it counts as stalled."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of the endpoint's servers."""
        return (self.url,) if isinstance(self.url, str) else self.url or ()


class CompressConfig(Section):
    """How the model is made smaller."""

    name: str = "none"
    settings: dict[str, Scalar] = Field(default_factory=dict)
    """The compressor's own; what is not given is its default."""


class ParallelConfig(Section):
    """How the work is spread."""

    name: str = "none"
    ranks: PositiveInt = 1
    nodes: PositiveInt = 1
    """Hosts over which the ranks are spread evenly, in order; more than one needs an allocation of Slurm."""
    scaling: Literal["strong", "weak"] = "strong"
    """`strong` shares the batch among the ranks; `weak` gives each share of it the whole batch's size."""
    settings: dict[str, Scalar] = Field(default_factory=dict)
    """The strategy's own; what is not given is its default."""


class PrecisionConfig(Section):
    """Number format: training keeps fp32 weights under autocast; inference casts the weights."""

    name: Literal["fp32", "tf32", "bf16", "fp16", "fp8"] = "fp32"


class OptimizeConfig(Section):
    """What speeds the same model up (`workloads.optimize.Optimize` says what each key does)."""

    name: str = "eager"
    compile: CompileMode | None = None
    cuda_graphs: bool = False
    checkpoint: bool = False
    update: Literal["auto", "loop", "foreach", "fused"] = "auto"
    channels_last: bool = False
    kv_cache: Literal["static", "growing"] = "static"
    attention: Attention = "auto"
    expandable_segments: bool = False

    def wanted(self) -> Optimize:
        """Return what a workload takes."""
        return Optimize(**self.model_dump(exclude={"name"}))


class DeviceConfig(Section):
    """Where it runs. `auto` is CUDA where there is a working one, else the CPU."""

    kind: str = "auto"
    platform: Literal["cpu", "tpu", "gpu"] | None = None
    """Of `xla`: what it compiles for. No other kind has one."""
    index: int = Field(default=0, ge=0)
    threads: PositiveInt | None = None
    """CPU threads of torch; null is the number of physical cores that this process may use."""
    wait: str = AUTO
    """How threads wait at barriers: `active` spins, `passive` sleeps, `spin:N` turns N times first; `auto`
    sleeps while others use the host, else spins."""

    @field_validator("wait")
    @classmethod
    def _known_policy(cls, wait: str) -> str:
        return parse_wait(wait)

    @property
    def hardware(self) -> str:
        """What the work runs on, whatever compiles it: `cpu`, `cuda`, `tpu` or another kind of device."""
        return {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}.get(self.platform or "", self.kind)


class MeasureConfig(Section):
    """How long, how often and how surely (docs/method.md, sections 2 and 3)."""

    preset: str = "default"
    replicas: PositiveInt = 6
    """Processes of each configuration before the plan for more is made."""
    max_replicas: PositiveInt = 30
    seconds: PositiveFloat = 5.0
    """Measured time of one replica."""
    min_iterations: PositiveInt = 3
    warmup_s: NonNegativeFloat = 2.0
    warmup_iterations: PositiveInt = 3
    warmup_cap_s: PositiveFloat = 60.0
    steady_window_s: PositiveFloat = 1.0
    steady_tolerance: PositiveFloat = 0.0025
    target_accelerator: PositiveFloat = 0.01
    """Relative half-width of the 95 % interval to plan for on accelerators."""
    target_cpu: PositiveFloat = 0.05
    target_loss: FiniteFloat | None = None
    """Training loss whose time is reported as the metric `time.to_loss`."""
    within_run_only: bool = False
    """True when one process stands for the configuration; the result is labelled so."""
    soak: bool = True
    """Warm an accelerator before the sweep until its speed is steady; never on the CPU."""
    soak_window_s: PositiveFloat = 15.0
    soak_cap_s: PositiveFloat = 240.0
    soak_tolerance: PositiveFloat = 0.001
    profile: bool = True
    """Profile a few steps of the first replica, after its measurement and apart from it."""
    trace: bool = False
    """Write the profile's Chrome trace into the attempt's folder."""

    def target(self, hardware: str) -> float:
        """Return the relative half-width of the interval to plan for on this kind of hardware."""
        return self.target_cpu if hardware == "cpu" else self.target_accelerator


class PowerConfig(Section):
    """Which sensor gives power and energy."""

    sensor: str = "auto"
    """`auto` is the device's own sensor; `none` measures no energy."""
    devices: tuple[str, ...] = ()
    """Sensor devices by index or UUID; none named is the trial's own device."""
    sample_hz: PositiveFloat = Field(default=100.0, le=2000.0)
    guard: bool = True
    """Keep the device idle for about a second before and after the span, where an energy counter needs it."""
    phases: bool = False
    """Measure prefill and decode, or forward and backward, in loops of their own after the span."""
    phase_s: PositiveFloat = 2.0
    """Seconds of each such loop."""


class RunConfig(Section):
    """Run control. None of it is part of a trial's identity."""

    name: Name | None = None
    """The sweep's name and folder; null takes the experiment's name, else the workloads'."""
    machine_name: MachineName | None = None
    """What reports call this machine; null takes its hardware's name."""
    results: str = "results"
    keep_paths: bool = False
    """Keep paths and a meter's command line in records as they are; else their last part and a digest."""
    worker: Literal["warm", "exec"] = "warm"
    timeout_s: PositiveFloat = 600.0
    """Hard limit of one replica, from start to end."""
    memory_limit_gib: PositiveFloat | None = None
    """Limit of a worker's own memory; null is nine tenths of what is available when it starts."""
    attempts: PositiveInt = 1
    """Tries at a replica within one run; a failed replica is not tried again unless `retry_failed`."""
    retry_failed: bool = False
    order_seed: int = Field(default=0, ge=0)
    tune: str | None = None
    """Find the best trial by successive halving, by `throughput`, `latency`, `energy` or a metric's id; null
    measures every trial."""
    quiet_wait_s: NonNegativeFloat = 0.0
    """How long to wait for a quiet host before measuring; 0 measures at once and says who is there."""
    remeasure: float = Field(default=0.2, ge=0, le=1)
    """Share of the sweep's time in which replicas that others disturbed may run again at its end."""
    on: Scheduler = "local"
    """Where the sweep runs: in this process, or as jobs of a cluster."""
    slurm: SlurmConfig = SlurmConfig()
    ray: RayConfig = RayConfig()
    monitor: bool = False
    """Serve the running sweep's metrics to Prometheus, on the loopback address."""
    monitor_port: int = Field(default=9646, ge=0, le=65535)
    """0 takes a free one."""

    @field_validator("tune")
    @classmethod
    def _tuned_by_what_has_a_direction(cls, tune: str | None) -> str | None:
        if tune is None or tune in {"throughput", "latency", "energy"}:
            return tune
        if tune not in METRICS or METRICS[tune].direction == "none":
            hint = nearest(tune, METRICS, "see `joulemark list metrics`")
            raise ValueError(f"neither throughput, latency, energy nor a metric that can be better{hint}")
        return tune


class PriceConfig(SiteFigures):
    """What the machine and its power cost (`harness.cost.Prices`); `none` leaves money out of the report."""

    name: str = "none"


class ReportConfig(Section):
    """What the report says about itself, and what it is to answer."""

    title: str | None = None
    question: str | None = None
    limits: dict[str, FiniteFloat] = Field(default_factory=dict)
    """By a metric's id: the most where less of it is better, the least where more is."""

    @field_validator("limits")
    @classmethod
    def _metrics_with_a_direction(cls, limits: dict[str, float]) -> dict[str, float]:
        for metric in limits:
            if metric not in METRICS:
                hint = nearest(metric, METRICS, "see `joulemark list metrics`")
                raise ValueError(f"no such metric {metric}{hint}")
            if METRICS[metric].direction == "none":
                raise ValueError(f"neither more nor less of {metric} is better")
        return limits


class Config(Section):
    """One trial's whole configuration."""

    seed: int = Field(default=0, ge=0)
    workload: WorkloadConfig
    serve: ServeConfig = ServeConfig()
    compress: CompressConfig = CompressConfig()
    parallel: ParallelConfig = ParallelConfig()
    precision: PrecisionConfig = PrecisionConfig()
    optimize: OptimizeConfig = OptimizeConfig()
    device: DeviceConfig = DeviceConfig()
    measure: MeasureConfig = MeasureConfig()
    power: PowerConfig = PowerConfig()
    run: RunConfig = RunConfig()
    price: PriceConfig = PriceConfig()
    report: ReportConfig = ReportConfig()
