#!/usr/bin/env bash
# DuckDB 2.0.1, `read_json` and `read_csv` as they come: they look at the first 20,480 rows for the type of a column.
# A sensor that reports whole watts that long makes the column BIGINT, and every fraction after that is rounded to a
# whole number without a word.
#
# Good guess, and wrong: "a value that does not fit the type that was found is an error, as a text or a number that is
# too large is".
# Output seen (2 cores, Python 3.11.7):
#   12.75 within the sample: DOUBLE 12.75
#   12.75 after it: BIGINT 13
#   a text after it: an error
#   CSV, 12.75 after it: BIGINT 13
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import json

import duckdb

SAMPLED = 20_480


def late(rows, value):
    """Return type and value of the column's largest number, which comes after so many whole ones."""
    with open("power.jsonl", "w") as file:
        file.writelines(json.dumps({"watts": watts}) + "\n" for watts in [12] * rows + [value])
    query = "SELECT typeof(max(watts)), max(watts)::VARCHAR FROM read_json('power.jsonl')"
    try:
        return " ".join(duckdb.sql(query).fetchall()[0])
    except duckdb.Error:
        return "an error"


print("12.75 within the sample:", late(SAMPLED - 1, 12.75))
print("12.75 after it:", late(SAMPLED, 12.75))
print("a text after it:", late(SAMPLED, "12.75 W"))
with open("power.csv", "w") as file:
    file.write("watts\n" + "12\n" * SAMPLED + "12.75\n")
print("CSV, 12.75 after it:", *duckdb.sql("SELECT typeof(max(watts)), max(watts) FROM 'power.csv'").fetchall()[0])
PY
diff "$folder/seen" - <<'SEEN'
12.75 within the sample: DOUBLE 12.75
12.75 after it: BIGINT 13
a text after it: an error
CSV, 12.75 after it: BIGINT 13
SEEN
