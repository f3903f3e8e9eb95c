#!/usr/bin/env bash
# Merge the bundles of a night into the history, judge it, and publish report, exports and step summary.
# usage: collect.sh NIGHT HISTORY POLICY OUT BUNDLES    BUNDLES is a folder; every bundle.tar in it counts
# FLOORS names the file that noise_floor.sh left, where there is one.
# Exit code of the gate: 0, 3 for a regression, 4 where nothing can be said yet.
set -euo pipefail
night=$1 history=$2 policy=$3 out=$4
mapfile -t bundles < <(find "$5" -name bundle.tar | sort)
[ "${#bundles[@]}" -gt 0 ] || { echo "$5: no bundle.tar: no part of the night was measured" >&2; exit 2; }
mkdir -p "$out"
for bundle in "${bundles[@]}"; do joulemark verify "$bundle"; done
joulemark merge "${bundles[@]}" --results "$history"
joulemark report "$night" --results "$history" --format html,md -o "$out/report" || [ $? -eq 4 ]
for format in junit markdown csv bencher github-action-benchmark; do
  case $format in junit) end=xml ;; markdown) end=md ;; csv) end=csv ;; *) end=json ;; esac
  joulemark export "$night" --results "$history" --to "$format" -o "$out/$format.$end" || [ $? -eq 4 ]
done
floors=()
[ ! -f "${FLOORS:-}" ] || floors=(--floors "$FLOORS")
code=0
joulemark gate --history "$history" --policy "$policy" --night "$night" "${floors[@]}" \
  --markdown "$out/gate.md" --json > "$out/gate.json" || code=$?
[ "$code" -ne 2 ] || exit 2
cat "$out/gate.md" "$out/markdown.md" >> "${GITHUB_STEP_SUMMARY:-/dev/stdout}"
exit "$code"
