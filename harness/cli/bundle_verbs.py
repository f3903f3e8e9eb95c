"""The verbs of records that travel: options, examples and exit codes."""

from __future__ import annotations

from harness.cli.verb import Verbs


def add_bundle_verbs(verbs: Verbs) -> None:
    """Add `bundle` and what stands beside it."""
    verb = verbs(
        "bundle",
        "put sweeps into one file, listed with their sha256",
        "examples:\n  joulemark bundle demo -o demo.tar\n"
        "  joulemark bundle demo --sign ~/.ssh/id_ed25519     as `ssh-keygen -t ed25519` makes it\n",
    )
    verb.sweep("sweeps", nargs="+")
    verb.add_argument("-o", "--output", metavar="FILE", help="the file (default: SWEEP.tar)")
    verb.add_argument("--sign", metavar="KEY", help="sign it with this ed25519 private key of OpenSSH")
    verb.add_argument("--accept-secrets", action="store_true", help="hand on what looks like a secret too")
    verb.results()

    verb = verbs(
        "verify",
        "check a bundle file by file, who signed it, and that its numbers follow from what was measured",
        "examples:\n  joulemark verify demo.tar\n  joulemark verify demo.tar --trusted allowed_signers\n"
        "  joulemark verify results/demo          a sweep where it lies\n\n"
        "exit code 1: its contents contradict each other; 4: a part of the plan is missing; 2: its files or\n"
        "its signature are wrong\n",
    )
    verb.add_argument("bundle", metavar="BUNDLE", help="the file, or a sweep's folder")
    verb.trusted()

    verb = verbs(
        "audit",
        "measure a random sample of a bundle's trials again, and compare by the intervals",
        "examples:\n  joulemark audit demo.tar +experiment=demo\n"
        "  joulemark audit gpt.tar --trials 2 --delta 0.05 workload=gpt workload.mode=decode\n\n"
        "Your overrides say what is measured; nothing that the bundle says is run. Exit code 0: no sampled\n"
        "headline is worse than recorded; 3: one is; 4: undecided, or other hardware; 1: the bundle\n"
        "contradicts itself.\n",
    )
    verb.add_argument("bundle", metavar="BUNDLE")
    verb.overrides()
    verb.add_argument("--trials", type=int, default=3, metavar="N", help="how many trials (default: 3)")
    verb.add_argument("--seed", metavar="WORD", help="what chooses them (default: a random one, printed)")
    verb.delta()
    _taking_in(verbs)


def _taking_in(verbs: Verbs) -> None:
    verb = verbs(
        "merge",
        "add the sweeps of bundles to a results folder; nothing in it is overwritten",
        "examples:\n  joulemark merge one.tar two.tar --results all\n",
    )
    verb.add_argument("bundles", nargs="+", metavar="BUNDLE")
    verb.add_argument(
        "--accept-inconsistent",
        action="store_true",
        help="also merge inconsistent bundles; the report always says so",
    )
    verb.trusted()
    verb.results()

    verb = verbs(
        "adopt",
        "count a sweep's records as measured here, which came from another user, folder or journal",
        "examples:\n  joulemark adopt demo\n  joulemark adopt demo --results /shared/results\n\n"
        "`run` and `status` count only what the journal below $XDG_STATE_HOME (~/.local/state) has. Adopt\n"
        "what you measured on this machine yourself; contradictory records are refused.\n",
    )
    verb.sweep()
    verb.results()
