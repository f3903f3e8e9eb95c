"""`joulemark gate`: judge the newest night by a policy; 3 when the code made something worse."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli.output import print_json, visible
from harness.exporters.common import write_json
from harness.gate.confirm import Confirmer, Where
from harness.gate.floor import noise_floor, read_floors
from harness.gate.history import VERDICT, read_history
from harness.gate.policy import read_policy
from harness.gate.verdict import judge_history
from harness.identity.machine import identify
from harness.records import open_store
from harness.system.errors import UsageError
from harness.system.files import write_atomically
from harness.system.inside import require_inside


def main(options: argparse.Namespace) -> int:
    """Judge, and leave the verdict in the night's own folder, where the next night reads it."""
    policy = read_policy(Path(options.policy))
    store = open_store(options.history)
    if not store.root.is_dir():
        raise UsageError(f"{store.root}: no such results folder")
    if options.noise_floor is not None:
        measured = noise_floor(store, options.noise_floor, policy)
        print_json(measured.plain()) if options.json else print("\n".join(map(visible, measured.lines())))
        return 0 if measured.sessions else 4
    floors = read_floors(Path(options.floors)) if options.floors else {}
    history = read_history(store, pattern=policy.nights, tonight=options.night, accept=policy.accept)
    confirmer = Confirmer(
        history,
        store,
        identify().machine_id,
        Where(options.base_python, options.base_checkout),
        Where(options.head_python, options.head_checkout),
        tuple(Path(d) for d in options.config_dir),
        options.pair_seconds,
        policy.plan,
    )
    confirm = (lambda *_: None) if options.screen_only else confirmer
    verdict = judge_history(history, policy, confirm, floors)
    for line in confirmer.note:
        print(f"joulemark: {visible(line)}", file=sys.stderr)
    require_inside(store.root, store.sweep_dir(history.tonight))
    write_json(store.root / history.tonight / VERDICT, verdict.plain())
    if options.markdown:
        write_atomically(Path(options.markdown), verdict.markdown())
    if options.json:
        print_json(verdict.plain())
    else:
        print("\n".join(map(visible, verdict.lines())))
    return verdict.exit_code
