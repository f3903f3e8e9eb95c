#!/usr/bin/env bash
# MLflow 3.17.2 with its local SQLite store: of points with equal key, time, step and value one is kept, whatever was
# logged; points of one time and step come back in the order of their values, and the run's metric is the largest of
# them, not the last; an infinity comes back as the largest finite number, so that it passes every check for finite
# values. NaN comes back as NaN.
#
# Good guess, and wrong: "a history holds what was logged, in that order, and a run shows the last value".
# Output seen (2 cores, Python 3.11.7):
#   logged [5.0, 5.0, 5.0], history [5.0], shown 5.0
#   logged [3.0, 1.0, 2.0], history [1.0, 2.0, 3.0], shown 3.0
#   logged [inf], history [1.7976931348623157e+308], shown 1.7976931348623157e+308
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlflow-skinny==3.17.2 sqlalchemy==2.1.9 alembic==1.20.1
cd "$folder"
MLFLOW_DISABLE_TELEMETRY=true "$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import logging
import math

from mlflow import MlflowClient
from mlflow.entities import Metric

logging.disable(logging.CRITICAL)
client = MlflowClient("sqlite:///runs.db")
run = client.create_run(client.create_experiment("power")).info.run_id


def logged(name, *values):
    """Log values at one time and step; return the history and what the run shows."""
    for value in values:
        client.log_batch(run, metrics=[Metric(name, value, 0, 0)])
    history = [point.value for point in client.get_metric_history(run, name)]
    return f"logged {list(values)}, history {history}, shown {client.get_run(run).data.metrics[name]}"


print(logged("repeats", 5.0, 5.0, 5.0))
print(logged("order", 3.0, 1.0, 2.0))
print(logged("infinity", math.inf))
PY
diff "$folder/seen" - <<'SEEN'
logged [5.0, 5.0, 5.0], history [5.0], shown 5.0
logged [3.0, 1.0, 2.0], history [1.0, 2.0, 3.0], shown 3.0
logged [inf], history [1.7976931348623157e+308], shown 1.7976931348623157e+308
SEEN
