"""What in files that are to be handed on looks like a secret: passwords, tokens, keys."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from harness.records.store import Store
from harness.system.errors import UsageError, access_to

_TEXT = frozenset({".json", ".txt"})
_MOST_BYTES = 64 * 2**20
_SHOWN = 10
_FIELD = rb"[\"' ]{0,4}[=: ][\"' ]{0,4}"
_SECRETS = (
    ("a private key", re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    ("a token", re.compile(rb"\b(?:gh[pousr]_|github_pat_|hf_|glpat-|xox[abprs]-|sk-)[A-Za-z0-9_-]{16,}")),
    ("a cloud's key", re.compile(rb"\bAKIA[0-9A-Z]{16}\b")),
    ("a bearer token", re.compile(rb"(?i)\bbearer +[A-Za-z0-9._~+/-]{16,}")),
    ("a password in an address", re.compile(rb"://[^/\s:@\"]{1,64}:[^/\s:@\"]{1,128}@")),
    (
        "a password or token",
        re.compile(rb"(?i)(?:^|[^a-z])(?:password|passwd|api[_-]?key|secret|access[_-]?token|--token)"
                   + _FIELD + rb"(?!null|none|true|false|\*)[^\s\"',{}\[\]]{6,}"),
    ),
)  # fmt: skip


def suspicions(store: Store, sweeps: Sequence[str]) -> Iterator[str]:
    """Yield a line for every text of these sweeps that holds what looks like a secret, never in full.

    A text that is too large to be looked through might hold one.

    Raises:
        ResourceError: a file cannot be read.
    """
    for path in (p for sweep in sweeps for p in sorted(store.sweep_dir(sweep).rglob("*"))):
        if path.suffix not in _TEXT or path.is_symlink() or not path.is_file():
            continue
        with access_to(path), path.open("rb") as file:
            data = file.read(_MOST_BYTES) if os.fstat(file.fileno()).st_size <= _MOST_BYTES else None
        if data is None:
            yield f"{path.relative_to(store.root)}: more than {_MOST_BYTES} bytes, too many to look through"
            continue
        for what, pattern in _SECRETS:
            if found := pattern.search(data):
                shown = found[0][:_SHOWN].decode(errors="replace").strip()
                yield f"{path.relative_to(store.root)}: {what}, {shown}…"


def refuse_secrets(store: Store, sweeps: Sequence[str]) -> None:
    """Refuse to hand on what looks like a secret.

    Raises:
        UsageError: something does; the line says where.
    """
    found = list(suspicions(store, sweeps))
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise UsageError(
            f"this looks like a secret: {found[0]}{more}; measure again without it, or hand it on with "
            "--accept-secrets"
        )
