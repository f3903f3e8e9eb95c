"""`joulemark status`: what of a sweep is done, failed and left, from its plan and its records."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.cli.output import print_json, print_table, visible
from harness.cluster.jobs import Jobs
from harness.cluster.standing import Standing, standings, told
from harness.execution.ledger import Ledger
from harness.execution.places import chosen
from harness.records import open_store
from harness.records.headline import HEADLINES
from harness.records.index import read_records
from harness.records.numbers import quantity
from harness.records.results import Estimate
from harness.records.schema import Record
from harness.records.store import Store, UnreadableRecord
from harness.records.validity import RULES, RULES_VERSION, TARGET_MISSED, WITHIN_RUN_ONLY, describe
from harness.system.errors import UsageError


def main(options: argparse.Namespace) -> int:
    """Print where every trial stands; 1 while trials have failed or are left."""
    store = open_store(options.results)
    plan = store.read_plan(options.sweep)
    if plan is None:
        known = store.sweeps()
        hint = f"there are: {', '.join(known)}" if known else "no sweep has been run yet"
        raise UsageError(f"{store.root}: no sweep {options.sweep}; {hint}")
    jobs = Jobs.read(store, options.sweep)
    if jobs is None:
        # Plans of before name one code for all trials.
        codes = {t["trial_id"]: str(t.get("code_id", plan["code_id"])) for t in plan["trials"]}
        ledger, torn = read(store, options.sweep, str(plan["machine_id"]), codes)
        blocks = []
    else:
        records, torn = read_records(store, options.sweep)
        ledger = chosen(records, jobs.is_of_this_code)
        blocks = standings(jobs, store.sweep_dir(options.sweep))
    rows = show(store, options.sweep, ledger, torn, blocks, as_json=options.json)
    return 0 if all(row["state"] in {"done", "refused"} for row in rows) else 1


def read(
    store: Store, sweep: str, machine_id: str, code_ids: Mapping[str, str]
) -> tuple[Ledger, list[UnreadableRecord]]:
    """Read a sweep's ledger for one machine and each trial's code, and the records that could not be read."""
    records, torn = read_records(store, sweep)
    return Ledger.read(records, machine_id, code_ids), torn


def show(
    store: Store,
    sweep: str,
    ledger: Ledger,
    torn: list[UnreadableRecord],
    blocks: Sequence[Standing] = (),
    *,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Print a row per trial, then one line of counts and how a cluster's blocks stand; return the rows."""
    plan = store.read_plan(sweep) or {"trials": []}
    rows = [_row(trial, ledger) for trial in plan["trials"]]
    left_out = [f"{t.path}: {t.reason}" for t in torn]
    if as_json:
        print_json(
            {
                "sweep": sweep,
                "trials": rows,
                "other_records": ledger.elsewhere,
                "merged_records": sum(map(len, ledger.merged.values())),
                "left_out": left_out,
                "blocks": [asdict(block) for block in blocks],
                "rules_version": RULES_VERSION,
            }
        )
        return rows
    print_table(
        ["trial", "state", "replicas", "result", "validity", "reason"],
        [
            [r["label"], r["state"], f"{r['done']}/{r['wanted']}", r["result"], r["validity"], r["reason"]]
            for r in rows
        ],
        title=f"sweep {sweep}",
    )
    counts = {
        s: sum(r["state"] == s for r in rows)
        for s in ("done", "partial", "waiting", "merged", "failed", "refused")
    }
    print("\n" + ", ".join(f"{n} {state}" for state, n in counts.items() if n))
    if blocks:
        print(visible(told(blocks)))
    if counts["done"] or counts["partial"]:
        print(_energy(rows, ledger))
    for row in rows:
        if row["advice"]:
            print(visible(f"{row['label']}: {row['advice']}"))
    if merged := ledger.merged_note(sweep):
        print(visible(merged))
    for line in left_out:
        print(visible(f"left out {line}"))
    return rows


def _row(trial: dict[str, Any], ledger: Ledger) -> dict[str, Any]:
    trial_id = trial["trial_id"]
    good = ledger.ok(trial_id)
    failure = ledger.last_failure(trial_id)
    state = ledger.state(trial_id, trial["refusal"], trial["replicas"])
    told = failure.reason if failure is not None and state in {"failed", "refused"} else None
    result, validity, why = _result(good or ledger.merged_ok(trial_id))
    return {
        "label": trial["label"],
        "trial_id": trial_id,
        "state": state,
        "status": failure.status if failure is not None else ("refused" if trial["refusal"] else None),
        "done": len(good),
        "wanted": max(trial["replicas"], len(good)),
        "merged": len(ledger.merged_ok(trial_id)),
        "result": result,
        "validity": validity,
        "reason": trial["refusal"] or told or why,
        "advice": _advice(good),
    }


def _energy(rows: list[dict[str, Any]], ledger: Ledger) -> str:
    from harness.records.estimates import trial_results
    from harness.report.sections.verdict import energy
    from harness.report.trials import trials

    return energy(trials(trial_results(r for row in rows for r in ledger.ok(row["trial_id"]))))


def _advice(good: list[Record]) -> str | None:
    from harness.planning.replication import advise

    found = advise(good)
    return None if found is None else str(found)


def _result(good: list[Record]) -> tuple[str | None, str | None, str | None]:
    """Return the headline with its interval, its validity, and the rules that judged so."""
    from harness.records.estimates import trial_results

    if not good:
        return None, None, None
    estimates = trial_results(good)[0].estimates
    for name in HEADLINES:
        e = estimates.get(name)
        if e is not None and e.validity == "invalid":
            return "invalid", "invalid", _why_invalid(e, good)
        if e is not None and e.value is not None:
            return quantity(e.value, e.unit, e.low, e.high).whole, e.validity, ", ".join(e.reasons) or None
    return None, None, None


def _why_invalid(estimate: Estimate, good: list[Record]) -> str:
    flags = {
        WITHIN_RUN_ONLY,
        TARGET_MISSED,
        *(rule.id for rule in RULES.values() if rule.severity == "flagged"),
    }
    rules = [describe(reason) for reason in estimate.reasons if reason not in flags]
    told = [str(r.evidence["output_reason"]) for r in good if r.evidence.get("output_reason")]
    return " ".join(rules + told[:1])
