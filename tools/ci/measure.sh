#!/usr/bin/env bash
# Measure one part of a night and bundle it, whatever became of its trials; the exit code is the run's.
# usage: measure.sh NIGHT BUNDLE OVERRIDE...
set -euo pipefail
night=$1 bundle=$2
shift 2
code=0
joulemark run "run.name=$night" "$@" || code=$?
joulemark bundle "$night" -o "$bundle"
exit "$code"
