"""Simulated machines: iteration times with a known truth, made of the disturbances that real ones show.

A *session* is one stretch of time on one machine; its state (clock, temperature, interference) lives in
session time, so that processes measured one after another share it as real ones do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Floats = npt.NDArray[np.float64]
Nanoseconds = npt.NDArray[np.int64]

ITERATION_S = 0.01
"""Length of an undisturbed iteration."""
START_S = 0.5
"""From asking for a process until its first iteration: a fork, and building the model."""
BLOCK_S = 12.0
"""How much of a process is drawn at a time."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What disturbs the machine; amplitudes are in logs of the iteration time, times in seconds.

    The truth is the mean iteration time long after the start, over all processes: `truth`.
    """

    name: str
    says: str
    """What it stands for, for the table."""
    within: float = 0.005
    """Standard deviation of iterations within a process."""
    correlation_s: float = 0.0
    """Time constant of their AR(1); 0 is white noise."""
    between: float = 0.002
    """Standard deviation between processes."""
    two_kinds: float = 0.0
    """Half the distance of the two levels that processes come out at, half of them each."""
    clock: float = 0.0
    """Half the distance of two clocks between which the machine flips, half of the time each."""
    clock_dwell_s: float = 3.0
    wander: float = 0.0
    """Standard deviation of the machine's slow drift, an AR(1) in session time."""
    wander_s: float = 60.0
    spike_share: float = 0.0
    """Share of iterations with a spike."""
    spike: float = 3.0
    """Median length of a spike in iterations; lognormal with sigma 0.5."""
    burst_share: float = 0.0
    """Share of the time in which something else runs."""
    burst_s: float = 0.15
    """Mean length of such a burst."""
    burst: float = 0.3
    """What iterations take longer meanwhile, as a share."""
    heat: float = 0.0
    """How much slower the warm machine is than the cold one."""
    heat_s: float = 40.0
    ramp: float = 0.0
    """How much slower a process begins, while its clock ramps up."""
    ramp_s: float = 0.8
    step: float = 0.0
    """How much slower the machine becomes at one moment of the session's first half minute."""
    recompile: float = 0.0
    """How much faster a process becomes when it compiles again, 1 to 3 s after it began."""
    recompile_s: float = 1.5
    gap_s: float = 0.0
    """Time between replicas in which other configurations run: a sweep's rounds."""

    @property
    def truth(self) -> float:
        """Mean iteration time in seconds, in the steady state."""
        noise = math.exp(self.within**2 / 2)
        clock = math.cosh(self.clock)
        spikes = self.spike_share * self.spike * math.exp(0.5**2 / 2)
        return ITERATION_S * noise * clock * (1 + self.burst_share * self.burst + spikes)


class Telegraph:
    """Something that is on or off in session time, for exponentially distributed whiles."""

    def __init__(self, rng: np.random.Generator, share: float, on_s: float) -> None:
        self._rng = rng
        self._mean_s = (on_s * (1 - share) / share, on_s)
        self._starts_on = bool(rng.random() < share)
        self._flips = np.zeros(0)

    def on(self, times_s: Floats) -> npt.NDArray[np.bool_]:
        """Tell when it is on; times may be asked for again."""
        last = self._flips[-1] if len(self._flips) else 0.0
        while last <= times_s[-1]:
            first = (len(self._flips) % 2 == 0) == self._starts_on
            whiles = self._rng.exponential(self._mean_s if not first else self._mean_s[::-1], (64, 2)).ravel()
            self._flips = np.concatenate((self._flips, last + np.cumsum(whiles)))
            last = self._flips[-1]
        odd = np.searchsorted(self._flips, times_s) % 2 == 1
        on: npt.NDArray[np.bool_] = odd != self._starts_on
        return on


class Wander:
    """A slow drift of the machine: an AR(1) in session time, drawn each second."""

    def __init__(self, rng: np.random.Generator, sd: float, constant_s: float) -> None:
        self._rng, self._sd = rng, sd
        self._keep = math.exp(-1 / constant_s)
        self._values = rng.normal(0, sd, 1)

    def at(self, times_s: Floats) -> Floats:
        """Return its value, linear between seconds."""
        while len(self._values) <= times_s[-1] + 1:
            steps = self._rng.normal(0, self._sd * math.sqrt(1 - self._keep**2), 256)
            more, _ = lfilter([1], [1, -self._keep], steps, zi=[self._keep * self._values[-1]])
            self._values = np.concatenate((self._values, more))
        return np.interp(times_s, np.arange(len(self._values)), self._values)


class Session:
    """A machine from `now_s = 0` on."""

    def __init__(self, scenario: Scenario, seed: int | list[int]) -> None:
        self.scenario = scenario
        self.rng = np.random.default_rng(seed)
        self.now_s = 0.0
        s = scenario
        self._clock = Telegraph(self.rng, 0.5, s.clock_dwell_s) if s.clock else None
        self._bursts = Telegraph(self.rng, s.burst_share, s.burst_s) if s.burst_share else None
        self._wander = Wander(self.rng, s.wander, s.wander_s) if s.wander else None
        self._step_s = self.rng.uniform(5, 25)

    def process(self, effect: float = 0.0) -> Series:
        """Start a process whose work takes `effect` longer, as a share."""
        self.now_s += START_S
        return Series(self, effect)

    def level(self, times_s: Floats) -> Floats:
        """Return the log of what the machine's state makes of every iteration at these session times."""
        s = self.scenario
        level = np.zeros(len(times_s))
        if self._clock is not None:
            level += np.where(self._clock.on(times_s), s.clock, -s.clock)
        if self._bursts is not None:
            level += np.where(self._bursts.on(times_s), math.log1p(s.burst), 0.0)
        if self._wander is not None:
            level += self._wander.at(times_s)
        if s.heat:
            level -= s.heat * np.exp(-times_s / s.heat_s)
        if s.step:
            level -= np.where(times_s < self._step_s, s.step, 0.0)
        return level


class Series:
    """The iteration times of one process, drawn as far as they are asked for."""

    def __init__(self, session: Session, effect: float) -> None:
        self._session = session
        self._began_s = session.now_s
        s, rng = session.scenario, session.rng
        kind = s.two_kinds * (1 if rng.random() < 0.5 else -1)
        self._log = math.log1p(effect) + kind + rng.normal(0, s.between) + math.log(ITERATION_S)
        self._keep = math.exp(-ITERATION_S / s.correlation_s) if s.correlation_s else 0.0
        self._noise = rng.normal(0, s.within)
        self._recompile_s = rng.uniform(1, 3)
        self.durations_ns: Nanoseconds = np.zeros(0, np.int64)

    def extend(self) -> None:
        """Draw another block."""
        s, rng = self._session.scenario, self._session.rng
        done = len(self.durations_ns)
        into_s = np.arange(done, done + round(BLOCK_S / ITERATION_S), dtype=np.float64) * ITERATION_S
        noise = rng.normal(0, s.within * math.sqrt(1 - self._keep**2), len(into_s))
        if self._keep:
            noise, _ = lfilter([1], [1, -self._keep], noise, zi=[self._keep * self._noise])
            self._noise = noise[-1]
        logs = self._log + noise + self._session.level(self._began_s + into_s)
        if s.ramp:
            logs += s.ramp * np.exp(-into_s / s.ramp_s)
        if s.recompile:
            logs += np.where(into_s < self._recompile_s, -math.log1p(-s.recompile), 0.0)
        times_s = np.exp(logs)
        if s.spike_share:
            hit = np.flatnonzero(rng.random(len(into_s)) < s.spike_share)
            times_s[hit] += ITERATION_S * s.spike * np.exp(rng.normal(0, 0.5, len(hit)))
        if s.recompile:
            at = int(self._recompile_s / ITERATION_S) - done
            if 0 <= at < len(times_s):
                times_s[at] += s.recompile_s
        self.durations_ns = np.concatenate((self.durations_ns, np.rint(times_s * 1e9).astype(np.int64)))


QUIET = Scenario("quiet", "0.5 % within and 0.2 % between processes")
SPREAD = Scenario("spread", "1 % between processes", between=0.01)
WANDER = Scenario(
    "wander",
    "0.5 % of slow drift over 30 s; 120 s of other work between replicas",
    wander=0.005,
    wander_s=30.0,
    gap_s=120.0,
)
LONG_BURSTS = Scenario("long bursts", "9 % of the time 30 % slower, 0.15 s at a time", burst_share=0.09)
THERMAL = Scenario("thermal", "1.5 % slower when warm, with a time constant of 40 s", heat=0.015)
STEADY = (
    QUIET,
    Scenario("correlated", "AR(1) of 1 s, 1 % within processes", within=0.01, correlation_s=1.0),
    SPREAD,
    Scenario("two clocks", "flips between clocks 1.5 % apart, 3 s at a time", clock=0.0075),
    Scenario("two kinds", "half of the processes 1.5 % slower", two_kinds=0.0075, between=0.003),
    Scenario("spiky", "1 % of iterations take three times as long", spike_share=0.01, spike=2.0),
    Scenario("bursts", "9 % of the time 30 % slower, 0.05 s at a time", burst_share=0.09, burst_s=0.05),
    WANDER,
)
"""Where the promised coverage must hold."""
WARMING = (
    Scenario("ramp", "each process begins 30 % slower, for 0.8 s", ramp=0.3),
    Scenario("recompile", "1.5 s of compiling after 1 to 3 s, then 10 % faster", recompile=0.1),
    Scenario("late step", "2 % slower from a moment in the session's first half minute", step=0.02),
    THERMAL,
)
"""Where the first numbers are not the steady ones."""
DRIFT = Scenario(
    "strong drift", "20 % slower when warm, with a time constant of 120 s", heat=0.2, heat_s=120.0
)
"""A machine that nobody waited for."""
