#!/usr/bin/env bash
# pandas 3.1.1, `read_json` as it comes: a column of numbers whose name ends in `_time` or `_at`, or begins with
# `date` or `timestamp`, becomes dates as soon as its numbers are above 31,536,000, the seconds of a year. A kernel's
# 52 ms in nanoseconds become a day in 1971, 5 ms stay a number; one file of results has columns of dates and of
# numbers by how slow the work was.
#
# Good guess, and wrong: "a JSON number is read as a number".
# Output seen (2 cores, Python 3.11.7):
#   5000000 ns: kernel_time int64 5000000, kernel_ns int64 5000000
#   52000000 ns: kernel_time datetime64[us] 1971-08-25 20:26:40, kernel_ns int64 52000000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import io
import json

import pandas as pd

for ns in (5_000_000, 52_000_000):
    rows = [{"kernel_time": ns, "kernel_ns": ns}]
    table = pd.read_json(io.StringIO(json.dumps(rows)))
    print(f"{ns} ns:", ", ".join(f"{name} {table[name].dtype} {table[name][0]}" for name in table))
PY
diff "$folder/seen" - <<'SEEN'
5000000 ns: kernel_time int64 5000000, kernel_ns int64 5000000
52000000 ns: kernel_time datetime64[us] 1971-08-25 20:26:40, kernel_ns int64 52000000
SEEN
