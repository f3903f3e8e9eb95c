"""Evidence: every fact that a record keeps beside its metrics, declared once with its producer.

Validity rules read keys of this table, producers write through `declared`, and `results/README.md` prints it.
Evidence that is absent or None says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.records.schema import Facts

NUMBER = (int, float)
_KINDS: dict[Any, str] = {bool: "bool", NUMBER: "number", str: "text", list: "list", dict: "mapping"}

_TIMING = "harness.trial.evidence"
_STATE = "harness.trial.device_state"
_ENERGY = "harness.trial.span_energy"
_RANKS = "harness.trial.rank_merge"
_REPLICA = "harness.trial.replica"
_INITIAL = "harness.trial.initial"
_ENDPOINT = "harness.trial.endpoint"
_LOADGEN = "harness.trial.loadgen"
_ASKED = f"{_ENDPOINT} {_LOADGEN}"
_AUDITS = f"harness.trial.audit {_ASKED}"
_METERS = f"{_ENERGY} harness.trial.endpoint_energy {_LOADGEN}"
_PASSES = "harness.trial.passes"
_SESSION = "harness.execution.session"
_ATTEMPT = "harness.execution.attempt"
_SERVED = "harness.serving.served"
_PYTEST = "harness.pytest_plugin.fixture"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One declared fact of a record."""

    key: str
    kind: type | tuple[type, ...]
    """What JSON holds for it, where it is not null."""
    unit: str
    """Empty where it has none."""
    producers: tuple[str, ...]
    """Modules that write it, or their package."""
    text: str
    """One sentence, without a full stop."""
    formerly: str | None = None
    """The key under which older records hold it."""

    @property
    def kind_name(self) -> str:
        """The kind as the documents name it."""
        return _KINDS[self.kind]

    def fits(self, value: Any) -> bool:
        """Say whether a value is of the declared kind; a bool is no number."""
        return isinstance(value, self.kind) and (self.kind is bool or not isinstance(value, bool))

    def read(self, facts: Mapping[str, Any]) -> Any:
        """Return a record's value under this key or its former one; None where it says nothing."""
        value = facts.get(self.key)
        return facts.get(self.formerly) if value is None and self.formerly is not None else value


def _table(*rows: Evidence) -> dict[str, Evidence]:
    return {row.key: row for row in rows}


def _e(key: str, kind: Any, unit: str, producers: str, text: str, formerly: str | None = None) -> Evidence:
    return Evidence(key, kind, unit, tuple(producers.split()), text, formerly)


EVIDENCE = _table(
    _e("steady", bool, "", _TIMING, "the speed had settled when measuring began"),
    _e("drift", bool, "", _TIMING, "the speed moved within the span"),
    _e("timing_flags", list, "", _TIMING, "of timing: `drift_unknown`, `stalled`, `grouped`, `buffer_full`"),
    _e("iterations", NUMBER, "", f"{_TIMING} {_ASKED}", "iterations, or requests, within the span"),
    _e("warmup_iterations", NUMBER, "", _TIMING, "iterations before the span"),
    _e("span_ns", NUMBER, "ns", f"{_TIMING} {_ASKED}", "host time of the span, the device synchronised"),
    _e("host_ns", NUMBER, "ns", _TIMING, "host time until the call of the last step returned"),
    _e("tick_ns", NUMBER, "ns", _TIMING, "the tick of the clock behind the durations"),
    _e("clock", str, "", _TIMING, "the clock behind the durations: `host` or `device events`"),
    _e("steal_ratio", NUMBER, "1", _TIMING, "share of the CPU time that the hypervisor took"),
    _e("involuntary_switches", NUMBER, "", _TIMING, "involuntary context switches within the span"),
    _e("contention", dict, "", f"{_TIMING} {_LOADGEN}", "what others took of the host within the span"),
    _e("clean_share", NUMBER, "1", _TIMING, "share of stretches of the span that nothing disturbed"),
    _e("all_zero", list, "", _TIMING, "ids of metrics whose every sample was zero"),
    _e("temperature_c", NUMBER, "°C", _STATE, "the device's temperature right after the span"),
    _e("clock_mhz", NUMBER, "MHz", _STATE, "the device's clock right after the span"),
    _e("clock_ratio", NUMBER, "1", _STATE, "that clock over the clock at the end of the session's soak"),
    _e("clock_requested_mhz", NUMBER, "MHz", _STATE, "the application clock, where it is not the default"),
    _e("clock_below_request", bool, "", _STATE, "the clock stayed over 3 % below the one that was set"),
    _e("clock_states", list, "", _STATE, "what held the clock right after the span"),
    _e("throttled", bool, "", f"{_STATE} {_ENERGY}", "heat or hardware slowed the device down"),
    _e("sm_clock", dict, "", _STATE, "the SMs' own clock over the span, from stamps on the device"),
    _e("sm_throttled", bool, "", _STATE, "the SMs' own clock fell by 3 % or more"),
    _e("cotenants", NUMBER, "", _STATE, "other processes with a compute context on the device"),
    _e("soak", dict, "", _SESSION, "`done` when the device was warmed before, `steady` when that settled"),
    _e("allocation", dict, "", _ATTEMPT, "the scheduler, job, node and block that it was measured in"),
    _e("certificate", dict, "", _ATTEMPT, "the certificate that holds for the device, or why none does"),
    _e("output_ok", bool, "", f"{_REPLICA} {_LOADGEN}", "the outputs passed their check"),
    _e("output_reason", str, "", f"{_REPLICA} {_LOADGEN}", "why the outputs failed their check"),
    _e("loss_finite", bool, "", _REPLICA, "every loss was finite"),
    _e("compiled", str, "", _RANKS, "what the compiler made of the model"),
    _e("recompiles_in_span", NUMBER, "", _RANKS, "graphs compiled in the span", "compiled_within"),
    _e("ranks", list, "", _RANKS, "what each rank measured and noted"),
    _e("rank_skew", NUMBER, "1", _RANKS, "the slowest rank's span less the fastest's, over the slowest's"),
    _e("ranks_beyond_cores", bool, "", _RANKS, "ranks shared processor cores"),
    _e("initial_weights_sha256", str, "", _INITIAL, "digest of the weights that the seed gave"),
    _e("first_batch_sha256", str, "", _INITIAL, "digest of the first batch that the seed gave"),
    _e("update", str, "", _REPLICA, "how the optimizer's update was run"),
    _e("transformed", dict, "", f"{_REPLICA} {_LOADGEN}", "what was made of the work, e.g. by compression"),
    _e("roofline", dict, "", _REPLICA, "the work's place under the ceilings, or why it has none"),
    _e("device", dict, "", f"{_REPLICA} {_LOADGEN} {_PYTEST}", "the device's name, threads, driver"),
    _e("sensor_method", str, "", _METERS, "how the energy was computed from what the sensor shows"),
    _e("sensor_flags", list, "", _METERS, "the energy window's flags"),
    _e("u_absolute_joules", NUMBER, "J", _METERS, "standard uncertainty of the energy, the gain included"),
    _e("energy", dict, "", _METERS, "the energy window: totals, each device's part, the sensors as probed"),
    _e("energy_aliased", dict, "", _ENERGY, "the loop that replaced an aliased span, or why none did"),
    _e("device_states", dict, "", _ENERGY, "temperatures, clocks and event reasons over the span, by sensor"),
    _e("attribution", list, "", _PASSES, "the span's energy by phase, of each device"),
    _e("passes", dict, "", _PASSES, "how the gated and the cold pass were run"),
    _e("profile", dict, "", _PASSES, "where the time of a step goes, by operator and kernel"),
    _e("bottleneck", dict, "", _PASSES, "what bounds the work, with the shares behind it"),
    _e("memory_bound", dict, "", _PASSES, "a decode step's least bytes over the measured read bandwidth"),
    _e("client", dict, "", _ENDPOINT, "how late the client read, its loop's lag and its CPU"),
    _e("endpoint", dict, "", _ENDPOINT, "what an endpoint's streams held and its failures said"),
    _e("balance", dict, "", f"{_ENDPOINT} {_SERVED}",
        "the balancer's policy, and how each server's or engine's requests ended"),
    _e("loadgen", dict, "", _LOADGEN, "LoadGen's verdict, what the search tried, both sides' percentiles"),
    _e("audit", dict, "", _AUDITS, "what the metrics were made of, the loop aside"),
    _e("requests", dict, "", _SERVED, "the counted requests by how they ended"),
    _e("saturated", bool, "", _SERVED, "the engine fell behind the arrivals of an open loop"),
    _e("quality", dict, "", _PASSES, "whose weights the quality was measured with, or why it was not"),
)  # fmt: skip
"""Every key of `Record.evidence`. One that is not here cannot be written and is read by no rule."""


def declared(producer: str, facts: Facts) -> Facts:
    """Return facts that a producer writes into a record, checked against the table.

    Args:
        producer: The module's `__name__`.
        facts: By key; None says nothing.

    Raises:
        KeyError: a key that is not declared for this producer.
        TypeError: a value that is not of the declared kind.
    """
    for key, value in facts.items():
        row = EVIDENCE.get(key)
        if row is None or not any(f"{producer}.".startswith(f"{one}.") for one in row.producers):
            raise KeyError(f"{producer} writes the evidence {key!r}, which is not declared for it")
        if value is not None and not row.fits(value):
            raise TypeError(f"the evidence {key} is {type(value).__name__}; declared is {row.kind_name}")
    return facts


def metered_devices(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a record's evidence `energy` says of each device; nothing where it is of another kind."""
    energy = facts.get("energy")
    devices = energy.get("devices") if isinstance(energy, Mapping) else None
    return [one for one in devices if isinstance(one, Mapping)] if isinstance(devices, list | tuple) else []
