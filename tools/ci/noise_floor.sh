#!/usr/bin/env bash
# The weekly A/A runs: the same code twice, as pairs; print the runner's floor and false-positive rate.
# usage: noise_floor.sh SESSIONS HISTORY POLICY OVERRIDE...
set -euo pipefail
sessions=$1 history=$2 policy=$3
shift 3
week=$(date -u +%G%V)
for i in $(seq "$sessions"); do
  # 3 and 4 are verdicts: of an A/A run, 3 is a false positive, and is counted.
  joulemark ab '' '' "$@" --name "aa-$week-$i" "run.results=$history" || [ $? -eq 3 ] || [ $? -eq 4 ]
done
joulemark gate --history "$history" --policy "$policy" --noise-floor "aa-*" \
  | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
