#!/usr/bin/env bash
# Fail when other processes use the GPU: what is measured beside them says nothing of the code.
# usage: cotenants.sh [SECONDS]       how long to wait for them to leave (default 300)
set -euo pipefail
left=${1:-300}
command -v nvidia-smi > /dev/null || { echo "no nvidia-smi: no GPU to share"; exit 0; }
while true; do
  others=$(nvidia-smi --query-compute-apps=pid,process_name --format=csv,noheader)
  [ -z "$others" ] && { echo "the GPU is ours alone"; exit 0; }
  [ "$left" -le 0 ] && { echo "other processes use the GPU:"; echo "$others"; exit 1; }
  sleep 10
  left=$((left - 10))
done
