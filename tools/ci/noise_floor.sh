#!/usr/bin/env bash
# The weekly A/A runs: the same code twice, as pairs. Prints the runner's floors and false-positive rate, and
# leaves the floors for the gate in HISTORY/floors.json.
# usage: noise_floor.sh SESSIONS HISTORY POLICY OVERRIDE...
set -euo pipefail
sessions=$1 history=$2 policy=$3
shift 3
week=$(date -u +%G%V)
for i in $(seq "$sessions"); do
  # 3 and 4 are verdicts: of an A/A run, 3 is a false positive, and is counted.
  joulemark ab '' '' "$@" --name "aa-$week-$i" "run.results=$history" || case $? in 3 | 4) ;; *) exit 1 ;; esac
done
floors=(joulemark gate --history "$history" --policy "$policy" --noise-floor "aa-*")
"${floors[@]}" --json > "$history/floors.json"
"${floors[@]}" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
