"""Records: their schema, their store, the index derived from them, and the rules that judge them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.records.index import query
    from harness.records.store import open_store

__all__ = ["open_store", "query"]


def __getattr__(name: str) -> Any:
    # The store reaches pydantic, which a command that only prints help must not import.
    if name == "open_store":
        from harness.records.store import open_store

        return open_store
    if name == "query":
        from harness.records.index import query

        return query
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
