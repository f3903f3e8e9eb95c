#!/usr/bin/env bash
# Print a job's outputs: the matrix, an entry a workload that the plan does not refuse here, and the night's name.
# usage: matrix.sh OVERRIDE... >> "$GITHUB_OUTPUT"
set -euo pipefail
matrix=$(joulemark plan --json "$@" | python3 -c '
import json, sys
plan = json.load(sys.stdin)
trials = [t for t in plan["trials"] if t["refusal"] is None]
work = sorted({t["config"]["workload"]["name"] for t in trials})
include = [{"workload": name, "trials": sum(t["config"]["workload"]["name"] == name for t in trials)} for name in work]
print(json.dumps({"include": include}))
for reason in {t["refusal"] for t in plan["trials"]} - {None}:
    print(f"refused: {reason}", file=sys.stderr)
')
echo "matrix=$matrix"
echo "night=nightly-$(date -u +%Y%m%d)"
