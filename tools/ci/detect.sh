#!/usr/bin/env bash
# Tell what this runner can measure, keep it beside the results, and fail where the device is not there.
# usage: detect.sh KIND FOLDER        KIND as doctor names it: cpu, cuda, xla-cpu, tpu
set -euo pipefail
kind=$1 folder=$2
mkdir -p "$folder"
joulemark doctor --json > "$folder/doctor.json"
python3 - "$kind" "$folder/doctor.json" <<'PY'
import json, sys
kind, path = sys.argv[1:]
with open(path) as file:
    checks = [c for c in json.load(file)["checks"] if c["what"] == f"device {kind}"]
if not any(c["works"] for c in checks):
    reasons = "; ".join(c["detail"] for c in checks) or "no such kind of device"
    sys.exit(f"no working {kind} device on this runner: {reasons}")
print(f"{kind}: works")
PY
