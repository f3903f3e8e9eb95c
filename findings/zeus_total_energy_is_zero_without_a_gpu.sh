#!/usr/bin/env bash
# Zeus 0.16.0 on a machine whose GPUs are none, or none of which is asked for: the window ends without an error, the
# energy of CPU and memory that nothing could measure is None, and `total_energy` is 0 J. It is the sum over GPUs
# alone: work on a CPU cost nothing.
#
# Good guess, and wrong: "energy that no sensor measured is None, or an error, in the total as in its parts".
# Output seen (2 cores, Python 3.11.7):
#   total_energy: 0; of GPUs: {}; of CPUs: None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check zeus==0.16.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import logging

from zeus.monitor import ZeusMonitor

logging.disable(logging.CRITICAL)
monitor = ZeusMonitor(gpu_indices=[], cpu_indices=[])
monitor.begin_window("work")
sum(range(10**6))
window = monitor.end_window("work")
print(f"total_energy: {window.total_energy}; of GPUs: {window.gpu_energy}; of CPUs: {window.cpu_energy or None}")
PY
diff "$folder/seen" - <<'SEEN'
total_energy: 0; of GPUs: {}; of CPUs: None
SEEN
