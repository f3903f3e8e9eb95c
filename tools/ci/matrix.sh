#!/usr/bin/env bash
# Print a job matrix: one entry a trial that the plan does not refuse, as {"include": [...]}.
# usage: matrix.sh OVERRIDE...
set -euo pipefail
joulemark plan --json "$@" | python3 -c '
import json, sys
plan = json.load(sys.stdin)
trials = [t for t in plan["trials"] if t["refusal"] is None]
work = sorted({t["config"]["workload"]["name"] for t in trials})
include = [{"workload": name, "trials": sum(t["config"]["workload"]["name"] == name for t in trials)} for name in work]
print(json.dumps({"include": include}))
'
