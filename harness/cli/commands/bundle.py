"""`joulemark bundle`, `verify` and `merge`: sweeps as one file, checked, audited, and put together again."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bundles.archive import bundle_signature, merge_bundles, sound_files, write_bundle
from harness.bundles.consistency import Audit, audit, audit_store
from harness.bundles.marks import Mark, file_digest, shortened, write_mark
from harness.bundles.secrets import refuse_secrets
from harness.bundles.signature import Signature, SignatureError, read_trusted, signer
from harness.cli.output import print_json, visible
from harness.records import open_store
from harness.system.errors import UsageError

_SHOWN = 20
_EXIT = {"inconsistent": 1, "incomplete": 4}


def main(options: argparse.Namespace) -> int:
    """Do what the verb says.

    `verify`: 1 what is there contradicts itself, 4 a part of the plan is not there. `merge`: 1 files of the
    same name had other contents.
    """
    if options.verb == "bundle":
        path = Path(options.output or f"{'+'.join(options.sweeps)}.tar")
        if not options.accept_secrets:
            refuse_secrets(open_store(options.results), options.sweeps)
        key = Path(options.sign).expanduser() if options.sign else None
        count = write_bundle(open_store(options.results), options.sweeps, path, key)
        said = {"bundle": str(path), "files": count, "signed": key is not None}
        _say(options, said, f"{path}: {count} files{', signed' if key else ''}")
        return 0
    return _verify(options) if options.verb == "verify" else _merge(options)


@dataclass(frozen=True, slots=True)
class _Checked:
    path: Path
    files: int
    audit: Audit
    signature: Signature | None
    signed_by: str | None

    @property
    def who(self) -> str:
        if self.signature is None:
            return "unsigned"
        if self.signed_by is None:
            return f"signed with {self.signature.key_id}; --trusted FILE says whose that is"
        return f"signed by {self.signed_by}"

    def plain(self) -> dict[str, Any]:
        return {
            "bundle": str(self.path),
            "files": self.files,
            "records": self.audit.records,
            "sealed": self.audit.sealed,
            "label": self.audit.label,
            "signed_by": self.signed_by,
            "key": self.signature.key_id if self.signature else None,
            "machines": self.audit.machines,
            "findings": self.audit.lines(),
            "not_recomputed": dict(self.audit.not_recomputed),
        }

    def mark(self) -> Mark:
        return Mark(
            bundle=self.path.name[:1000],
            sha256=file_digest(self.path),
            label=self.audit.label,
            signed_by=self.signed_by,
            key_id=self.signature.key_id if self.signature else None,
            machines=tuple(self.audit.machines),
            findings=shortened(self.audit.lines()),
        )


def _checked(path: Path, trusted: dict[bytes, str] | None) -> _Checked:
    """Check a bundle's files against its list, its signature against who is trusted, and what it says."""
    try:
        signature = bundle_signature(path)
        signed_by = None if trusted is None else signer(signature, trusted)
    except SignatureError as error:
        raise SignatureError(f"{path}: {error}") from error
    count = 0

    def counted() -> Any:
        nonlocal count
        for name, data in sound_files(path):
            count += 1
            yield name, data

    found = audit(counted())
    return _Checked(path, count, found, signature, signed_by)


def _checked_folder(path: Path, trusted: dict[bytes, str] | None) -> _Checked:
    """Check the sweep of a folder where it lies."""
    path = path.absolute()
    store = open_store(path.parent)
    if trusted is not None:
        raise SignatureError(f"{path}: a folder has no signature; `joulemark bundle --sign` signs")
    if not any(store.record_paths(path.name)):
        raise UsageError(f"{path}: no sweep: it holds no record")
    files = sum(len(names) for _, _, names in os.walk(path))
    return _Checked(path, files, audit_store(store, [path.name]), None, None)


def _trusted(options: argparse.Namespace) -> dict[bytes, str] | None:
    return read_trusted(Path(options.trusted).expanduser()) if options.trusted else None


def _verify(options: argparse.Namespace) -> int:
    path, trusted = Path(options.bundle), _trusted(options)
    found = _checked_folder(path, trusted) if path.is_dir() else _checked(path, trusted)
    for line in found.audit.lines()[:_SHOWN]:
        print(visible(line), file=sys.stderr)
    if (more := len(found.audit.lines()) - _SHOWN) > 0:
        print(f"and {more} more; --json lists all", file=sys.stderr)
    for note in found.audit.notes():
        print(visible(note), file=sys.stderr)
    said = f"{options.bundle}: sound, {found.files} files; {found.who}; {found.audit.label}"
    _say(options, found.plain(), said)
    return _EXIT.get(found.audit.label, 0)


def _merge(options: argparse.Namespace) -> int:
    store, trusted = open_store(options.results), _trusted(options)
    checked = [_checked(Path(b), trusted) for b in options.bundles]
    for one in checked:
        if one.audit.label == "inconsistent" and not options.accept_inconsistent:
            first, count = visible(one.audit.lines()[0]), len(one.audit.lines())
            raise UsageError(
                f"{one.path}: inconsistent: {first} (of {count}); nothing was merged. `verify` names all; "
                "--accept-inconsistent merges it, marked"
            )
    for one in checked:
        write_mark(store, one.mark())
    done = merge_bundles(store, [one.path for one in checked])
    # Each machine plans for itself: that plans differ is no news.
    differing = [name for name in done.conflicts if not name.endswith("plan.json")]
    for name in differing:
        print(f"joulemark: kept {store.root / name}: the bundle's differs", file=sys.stderr)
    said = {
        "added": done.added,
        "known": done.known,
        "conflicts": list(done.conflicts),
        "bundles": [one.plain() for one in checked],
    }
    _say(options, said, f"{done.added} files added, {done.known} were there, {len(differing)} differ")
    return 1 if any(name.endswith("record.json") for name in done.conflicts) else 0


def _say(options: argparse.Namespace, said: dict[str, Any], line: str) -> None:
    print_json(said) if options.json else print(visible(line))
