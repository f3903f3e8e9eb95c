"""SQL over the index, read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.records.index.refresh import Index, refreshed
from harness.records.index.stamps import listing
from harness.records.index.tables import COLUMNS, FILES, NEEDS, quoted, relation, view
from harness.records.store import Store
from harness.system.errors import UsageError


@dataclass(frozen=True, slots=True)
class Table:
    """A query's answer."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def rebuild(store: Store) -> dict[str, int]:
    """Derive the index anew and keep it.

    Returns:
        The rows of every table, and as `torn` the records that could not be used.

    Raises:
        OSError: the index cannot be written.
    """
    listings = {sweep: listing(store, sweep) for sweep in store.sweeps()}
    with refreshed(store, listings, FILES, whole=True, anew=True, keep=True) as index:
        _attach(index, list(COLUMNS))
        counts = {table: index.connection.table(table).count("*").fetchall()[0][0] for table in COLUMNS}
        torn = sum(
            len(folder.torn) for sweep in index.manifest.sweeps.values() for folder in sweep.folders.values()
        )
    return counts | {"torn": torn}


def query(store: Store, sql: str) -> Table:
    """Answer one read-only query, from the index, in which only new and changed records are read first.

    Raises:
        ValueError: the SQL is wrong, or asks for more than reading these tables; one line.
    """
    import duckdb

    listings = {sweep: listing(store, sweep) for sweep in store.sweeps()}
    tables = [table for table in COLUMNS if table in sql.lower()]  # more than it names does no harm
    files = {file for table in tables for file in NEEDS[table]}
    with refreshed(store, listings, files, whole=True) as index:
        connection = index.connection
        _attach(index, tables)
        try:
            statements = connection.extract_statements(sql)
            reading = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
            if len(statements) != 1 or statements[0].type not in reading:
                raise UsageError("a query is one SELECT over the tables records, metrics and trials")
            cursor = connection.execute(statements[0])
            rows = tuple(cursor.fetchall())
        except duckdb.Error as error:
            raise UsageError(" ".join(str(error).split())[:500]) from error
        return Table(tuple(column[0] for column in cursor.description or ()), rows)


def _attach(index: Index, tables: Sequence[str]) -> None:
    """Make the tables, and let the connection read their files and nothing else from now on."""
    connection, allowed = index.connection, list[str]()
    dead = index.manifest.dead()
    for table in tables:
        if not index.manifest.segments:
            columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS[table].items())
            connection.execute(f"CREATE TABLE {table} ({columns})")
            continue
        files = {file: index.paths(file) for file in NEEDS[table]}
        allowed += [path for paths in files.values() for path in paths]
        select = view(table, {file: relation(file, paths, dead) for file, paths in files.items()})
        connection.execute(f"CREATE VIEW {table} AS {select}")
    connection.execute(f"SET allowed_paths = [{', '.join(quoted(path) for path in dict.fromkeys(allowed))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
