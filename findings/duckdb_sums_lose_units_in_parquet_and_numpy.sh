#!/usr/bin/env bash
# DuckDB 2.0.1: the sum of a column of BIGINT, such as an energy counter in microjoules or times in nanoseconds, is a
# HUGEINT and exact, also through Arrow (as a decimal). In Parquet and in `fetchnumpy` it is a DOUBLE, which above
# 2^53 is off by units: a difference of two such sums is 0.
#
# Good guess, and wrong: "a sum of whole numbers that fits 64 bits is written as a whole number".
# Output seen (2 cores, Python 3.11.7):
#   fetchall: 9007199254740993
#   arrow: decimal128(38, 0) 9007199254740993
#   numpy: float64 9007199254740992
#   parquet: double 9007199254740992
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 pyarrow==26.0.1 numpy==2.4.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import duckdb
import pyarrow.parquet as pq

duckdb.sql("CREATE TABLE counter AS SELECT x FROM (VALUES (9007199254740992::BIGINT), (1)) AS t(x)")
query = "SELECT sum(x) AS whole FROM counter"
print("fetchall:", duckdb.sql(query).fetchall()[0][0])
arrow = duckdb.sql(query).to_arrow_table()["whole"]
print(f"arrow: {arrow.type} {arrow[0]}")
numpy = duckdb.sql(query).fetchnumpy()["whole"]
print(f"numpy: {numpy.dtype} {numpy[0]:.0f}")
duckdb.sql(f"COPY ({query}) TO 'sum.parquet'")
kept = pq.read_table("sum.parquet")["whole"]
print(f"parquet: {kept.type} {kept[0].as_py():.0f}")
PY
diff "$folder/seen" - <<'SEEN'
fetchall: 9007199254740993
arrow: decimal128(38, 0) 9007199254740993
numpy: float64 9007199254740992
parquet: double 9007199254740992
SEEN
