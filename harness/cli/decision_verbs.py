"""The verbs that turn measurements into a decision: options, examples and exit codes."""

from __future__ import annotations

from harness.cli.verb import Verbs

_AS_OF = "the day on which prices must not be stale (default: today)"


def add_decision_verbs(verbs: Verbs) -> None:
    """Add `recommend` and what stands beside it."""
    verb = verbs(
        "recommend",
        "choose the best configuration under limits, from records alone, and say how surely",
        "examples:\n  joulemark recommend demo --for requirements.yaml\n"
        "  joulemark recommend left right --for requirements.yaml --price site.yaml --json\n\n"
        "requirements.yaml (docs/decisions.md):\n"
        "  work: {workload: gpt, mode: decode}\n"
        "  load: {tokens_per_second: 50 k}      or: as much as possible\n"
        "  objective: cost                      or energy, carbon, throughput, latency, a metric id\n"
        "  limits: {latency.p99: 200 ms}\n"
        "  fleet: {power: 40 kW, budget: 1000000}\n"
        "  price: site.yaml\n\n"
        "exit code 1: no configuration keeps the limits; 4: too few replicas to state a probability\n",
    )
    verb.sweep("sweeps", nargs="+")
    verb.add_argument(
        "--for", dest="requirements", required=True, metavar="FILE", help="load, limits and objective (YAML)"
    )
    verb.add_argument(
        "--price", metavar="NAME", help="a price file, or a name of conf/price (default: the requirements')"
    )
    verb.add_argument("--as-of", metavar="DATE", help=_AS_OF)
    verb.add_argument(
        "--predict", action="store_true", help="also predict what was not run; never ranked with what was"
    )
    verb.results()

    verb = verbs(
        "explain",
        "say why A is faster than B: factors that multiply to the measured ratio, each with its evidence",
        "examples:\n  joulemark explain left right\n"
        "  joulemark explain demo:bf16 demo:fp32 --work gpt\n\n"
        "A and B are sweeps, joined by what was computed, or SWEEP:WORDS for trials with these words in\n"
        "their labels. A cause is named only if evidence in the records supports it; the rest is\n"
        "`unexplained`.\n",
    )
    for side in ("a", "b"):
        verb.sweep(side, metavar=side.upper(), help="a sweep, or SWEEP:WORDS of its labels")
    verb.add_argument("--work", metavar="WORDS", help="only trials whose label has these words")
    verb.results()

    verb = verbs(
        "accept",
        "hold a machine's records against a contract: accepted, rejected, or how many more replicas it takes",
        "examples:\n  joulemark accept contract.yaml             what the buyer's nonce chooses: run that\n"
        "  joulemark accept contract.yaml machine.tar\n\n"
        "contract.yaml (docs/decisions.md):\n"
        "  terms:\n"
        "    - {work: {workload: gpt}, metric: throughput.tokens, threshold: 50 k, margin: 0.05}\n"
        "  buyer_risk: 0.05\n"
        "  seller_risk: 0.05\n"
        "  nonce: what the buyer says last\n"
        "  ranges: {seed: [0, 9999]}\n\n"
        "exit codes: 0 accepted, 3 rejected, 4 not enough data\n",
    )
    verb.add_argument("contract", metavar="CONTRACT", help="the contract (YAML)")
    verb.sweep("bundles", nargs="*", metavar="BUNDLE", help="a bundle's file, or a sweep")
    verb.results()
