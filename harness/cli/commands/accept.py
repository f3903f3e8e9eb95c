"""`joulemark accept`: hold a machine's records against a contract, at stated risks."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.advice.contract import Contract, TermVerdict, judge_contract, load_contract
from harness.bundles.archive import merge_bundles, sound_files
from harness.bundles.consistency import audit
from harness.cli.output import print_json, print_table, visible
from harness.cli.sweeps import merged_beside, say_left_out
from harness.records import open_store
from harness.records.estimates import trial_results
from harness.records.metrics import METRICS
from harness.records.numbers import quantity
from harness.records.results import own_first
from harness.records.schema import Record
from harness.system.errors import UsageError

EXIT_CODES = {"accepted": 0, "rejected": 3, "not enough data": 4}


def main(options: argparse.Namespace) -> int:
    """Print the verdict: 0 accepted, 3 rejected, 4 not enough data."""
    contract = load_contract(Path(options.contract))
    if not options.bundles:
        return _show_run(contract, as_json=options.json)
    results, beside = own_first(trial_results(_records(options.bundles, options.results)))
    say_left_out([merged_beside(result) for result in beside])
    verdict, terms = judge_contract(contract, results)
    if options.json:
        print_json(_plain(contract, verdict, terms))
    else:
        _print(contract, verdict, terms)
    return EXIT_CODES[verdict]


def _show_run(contract: Contract, *, as_json: bool) -> int:
    """Print what the nonce chooses: the seller runs it."""
    words = [f"{key}={value}" for key, value in contract.chosen().items()]
    if as_json:
        print_json({"overrides": words})
    else:
        print(visible(" ".join(words)) or "the contract names no ranges: no override is asked for")
    return 0


def _records(names: Sequence[str], results: str) -> list[Record]:
    """Read bundles, each checked file by file and audited, and sweeps."""
    bundles = [Path(name) for name in names if Path(name).is_file()]
    for path in bundles:
        if findings := audit(sound_files(path)).findings:
            raise UsageError(
                f"{path}: inconsistent: {findings[0]} (of {len(findings)}); no contract is judged by records "
                "that contradict themselves. `verify` names all"
            )
    store = open_store(results)
    records: list[Record] = []
    with tempfile.TemporaryDirectory(prefix="joulemark-accept-") as folder:
        if bundles:
            merged = open_store(folder)
            merge_bundles(merged, bundles)
            for sweep in merged.sweeps():
                records += merged.records(sweep)[0]
        for name in names:
            if Path(name) not in bundles:
                found, _ = store.records(name)
                if not found:
                    raise UsageError(f"{name}: neither a bundle nor a sweep of {store.root}")
                records += found
    return records


def _print(contract: Contract, verdict: str, terms: Sequence[TermVerdict]) -> None:
    rows = []
    for v in terms:
        d = METRICS[v.term.metric]
        side = "at least" if d.direction == "higher" else "at most"
        bound = "" if v.found.bound is None else quantity(v.found.bound, d.unit).text
        more = f" ({v.more} more replicas)" if v.more else ""
        mean = quantity(v.found.estimate, d.unit).text if v.replicas else ""
        limit = f"{side} {quantity(v.term.threshold, d.unit).text}"
        rows.append([v.label, d.title, limit, mean, bound, v.replicas, v.found.decision + more])
    columns = ["trial", "metric", "threshold", "mean", "bound at the buyer's risk", "replicas", "verdict"]
    print_table(columns, rows, title=contract.title)
    for v in terms:
        for line in v.left_out:
            print(visible(f"not counted: {v.label}: {line}"))
    risks = f"buyer's risk {contract.buyer_risk:.0%}, seller's risk {contract.seller_risk:.0%}"
    most = max((v.more for v in terms), default=0)
    needed = f" ({most} more replicas)" if verdict == "not enough data" and most else ""
    print(f"{verdict}{needed}: {risks}")


def _plain(contract: Contract, verdict: str, terms: Sequence[TermVerdict]) -> dict[str, object]:
    return {
        "title": contract.title,
        "verdict": verdict,
        "buyer_risk": contract.buyer_risk,
        "seller_risk": contract.seller_risk,
        "terms": [
            {
                "label": v.label,
                "metric": v.term.metric,
                "threshold": v.term.threshold,
                "margin": v.term.margin,
                "mean": v.found.estimate if v.replicas else None,
                "bound": v.found.bound,
                "replicas": v.replicas,
                "more": v.more,
                "verdict": v.found.decision,
                "not_counted": list(v.left_out),
            }
            for v in terms
        ],
        "exit_code": EXIT_CODES[verdict],
    }
