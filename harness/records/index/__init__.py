"""The index: tables derived from the records, for SQL and for commands that read many records at once.

It is kept as Parquet files beside the sweeps and can be deleted at any time. A trial's folder is read again
when one of its records is new or changed. Records are validated one by one: a torn one hides no other.
"""

from __future__ import annotations

from harness.records.index.queries import Table, query, rebuild
from harness.records.index.restore import read_records, read_results

__all__ = ["Table", "query", "read_records", "read_results", "rebuild"]
