"""`joulemark goodput`: the highest rate of an open loop at which enough requests keep their limits."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cli.commands.run import results_option, swept
from harness.cli.output import print_json, print_table
from harness.execution.sweep import Sweep
from harness.identity.machine import Identity, identify
from harness.planning.plan import Plan, PlannedTrial, make_plan
from harness.records import open_store
from harness.records.schema import Record
from harness.records.store import Store
from harness.records.validity import describe, judge
from harness.serving.search import Found, Probe, Tried, highest_rate
from harness.system.errors import InputError, UsageError

SHARE = "goodput.share"
_HEADS = ("rate, requests/s", "runs", "good share", "verdict")


class MeasuredError(InputError):
    """A rate could not be measured, so that the search cannot go on."""


class Rates:
    """Runs one configuration at any rate: a sweep for each rate, a seed and a fresh process for each run."""

    def __init__(self, overrides: Sequence[str], folders: Sequence[Path], start_per_s: float) -> None:
        self._overrides, self._folders = overrides, folders
        (trial, *others) = self._plan(start_per_s, 1).trials
        _check(trial, others)
        self.trial = trial
        self.store: Store = open_store(trial.config.run.results)
        self._identity: Identity = identify()
        self.records: list[Record] = []

    def probe(self, rate_per_s: float, repeat: int) -> Probe:
        """Run the load once more at a rate.

        Raises:
            MeasuredError: the run failed, or its share is not known.
        """
        plan = self._plan(rate_per_s, repeat + 1)
        sweep = swept(plan, lambda shown: Sweep(plan, self.store, self._identity, shown))
        trial = plan.trials[repeat]
        good = sweep.ledger.ok(trial.trial_id)
        if not good:
            failure = sweep.ledger.last_failure(trial.trial_id)
            why = trial.refusal or (failure.reason if failure is not None else None) or "it has no record"
            raise MeasuredError(f"no result at {rate_per_s:.6g} requests/s: {why}")
        share = good[-1].metric(SHARE)
        validity, reasons = judge(good[-1]).get(SHARE, ("unavailable", ("it was not measured",)))
        if share is None or share.value is None or validity == "invalid":
            why = "; ".join(describe(reason) for reason in reasons)
            raise MeasuredError(f"no {SHARE} at {rate_per_s:.6g} requests/s: {why}")
        self.records.append(good[-1])
        return Probe(share.value, good[-1].evidence.get("saturated") is True)

    def sweep(self, rate_per_s: float) -> str:
        """Return the name of a rate's sweep."""
        name = next((o.partition("=")[2] for o in self._overrides if o.startswith("run.name=")), "goodput")
        return f"{name}-{rate_per_s:.6g}"

    def _plan(self, rate_per_s: float, runs: int) -> Plan:
        """Return the sweep of a rate with so many runs, which holds those that there were before."""
        rate = f"{rate_per_s:.6g}"
        rest = [o for o in self._overrides if not o.startswith("run.name=")]
        seeds = ",".join(map(str, range(runs)))
        once = ("measure.replicas=1", "measure.max_replicas=1", "measure.within_run_only=true")
        return make_plan(
            [*rest, f"serve.rate_per_s={rate}", f"seed={seeds}", f"run.name={self.sweep(rate_per_s)}", *once],
            user_folders=self._folders,
        )


def main(options: argparse.Namespace) -> int:
    """Search and report; 3 when no rate meets the limits."""
    rates = Rates(options.overrides, [Path(folder) for folder in options.config_dir], options.start)
    try:
        found = highest_rate(
            rates.probe,
            options.start,
            rates.trial.config.serve.good_share,
            tolerance=options.tolerance,
            most=options.most,
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    if options.json:
        print_json(_plain(found))
    else:
        print_table(_HEADS, [_row(one) for one in sorted(found.tried, key=lambda one: one.rate_per_s)])
        print(f"\n{_words(found, rates.trial.config.serve.good_share)}")
        sweeps = " ".join(rates.sweep(rate) for rate in sorted(one.rate_per_s for one in found.tried))
        print(f"\nnext: joulemark report {sweeps}{results_option(rates.store.root)}")
    return 3 if found.rate_per_s is None else 0


def _check(trial: PlannedTrial, others: Sequence[PlannedTrial]) -> None:
    serve = trial.config.serve
    if others:
        raise UsageError("a search takes one configuration, not a sweep")
    if trial.refusal is not None:
        raise UsageError(trial.refusal)
    if serve.ttft_limit_s is serve.tpot_limit_s is serve.e2e_limit_s is None:
        raise UsageError("state a limit: serve.ttft_limit_s, serve.tpot_limit_s or serve.e2e_limit_s")


def _row(one: Tried) -> tuple[str, ...]:
    verdict = "met" if one.met else "missed"
    if not one.decided:
        verdict += ", by the mean alone"
    return f"{one.rate_per_s:.4g}", str(len(one.probes)), f"{one.share:.1%}", verdict


def _words(found: Found, share: float) -> str:
    if found.rate_per_s is None:
        return f"no rate down to {found.above_per_s:.4g}/s: {share:.0%} of requests never keep the limits"
    if found.above_per_s is None:
        return f"{found.rate_per_s:.4g} requests/s keep the limits, and so may more: the search ended there"
    why = {"latency": "answers are too slow", "saturation": "the engine falls behind"}[str(found.limited_by)]
    return (
        f"{found.rate_per_s:.4g} requests/s is the highest rate at which {share:.0%} of requests keep the "
        f"limits; at {found.above_per_s:.4g}/s {why}"
    )


def _plain(found: Found) -> dict[str, Any]:
    return {
        "rate_per_s": found.rate_per_s,
        "above_per_s": found.above_per_s,
        "limited_by": found.limited_by,
        "tried": [
            {
                "rate_per_s": one.rate_per_s,
                "shares": [probe.share for probe in one.probes],
                "saturated": [probe.saturated for probe in one.probes],
                "met": one.met,
                "decided": one.decided,
            }
            for one in found.tried
        ],
    }
