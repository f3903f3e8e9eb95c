#!/usr/bin/env bash
# Merge the bundles of a night into the history, judge it, and publish report, exports and step summary.
# usage: collect.sh NIGHT HISTORY POLICY OUT BUNDLE...
# Exit code of the gate: 0, 3 for a regression, 4 where nothing can be said yet.
set -euo pipefail
night=$1 history=$2 policy=$3 out=$4
shift 4
mkdir -p "$out"
for bundle in "$@"; do joulemark verify "$bundle"; done
joulemark merge "$@" --results "$history"
joulemark report "$night" --results "$history" --format html,md -o "$out/report" || true
for format in junit markdown csv bencher github-action-benchmark; do
  case $format in junit) end=xml ;; markdown) end=md ;; csv) end=csv ;; *) end=json ;; esac
  joulemark export "$night" --results "$history" --to "$format" -o "$out/$format.$end" || [ $? -eq 4 ]
done
code=0
joulemark gate --history "$history" --policy "$policy" --night "$night" --markdown "$out/gate.md" \
  --json ${JOULEMARK_GATE_OPTIONS:-} > "$out/gate.json" || code=$?
[ "$code" -ne 2 ] || exit 2
cat "$out/gate.md" "$out/markdown.md" >> "${GITHUB_STEP_SUMMARY:-/dev/stdout}"
exit "$code"
