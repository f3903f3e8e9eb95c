"""MLflow: an experiment a sweep, a run a trial, with its settings, metrics and identities."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.exporters.common import names, usable
from harness.records.results import TrialResult
from harness.system.errors import UsageError, access_to

_LONGEST_VALUE = 500


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write runs into `PATH/mlflow.db`, a tracking store of its own (`mlflow ui --backend-store-uri …`).

    Raises:
        ValueError: MLflow is not installed.
    """
    # It would report its use over the network.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
    except ImportError as error:
        raise UsageError("--to mlflow needs `pip install 'joulemark[track]'`") from error
    with access_to(path):
        path.mkdir(parents=True, exist_ok=True)
    database = path / "mlflow.db"
    client = MlflowClient(f"sqlite:///{database.absolute()}")
    for result, name in zip(results, names(results), strict=True):
        known = client.get_experiment_by_name(result.sweep)
        experiment = known.experiment_id if known else client.create_experiment(result.sweep)
        at_ms = 0
        tags = {
            "mlflow.runName": name,
            **{k: getattr(result, k) for k in ("work_id", "trial_id", "machine_id", "code_id", "status")},
            **({"reason": result.reason} if result.reason else {}),
        }
        run = client.create_run(experiment, tags=tags)
        metrics = []
        for e in usable(result):
            bounds = {e.metric_id: e.value, f"{e.metric_id}.low": e.low, f"{e.metric_id}.high": e.high}
            metrics += [Metric(k, v, at_ms, 0) for k, v in bounds.items() if v is not None]
        params = [Param(k, str(v)[:_LONGEST_VALUE]) for k, v in _flat(result.config).items()]
        client.log_batch(run.info.run_id, metrics=metrics, params=params[:100])
        client.set_terminated(run.info.run_id, "FINISHED" if result.status == "ok" else "FAILED")
    return [database]


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
