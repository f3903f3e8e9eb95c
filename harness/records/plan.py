"""The plan beside a sweep's records, `plan.json`, checked when it is read: it may come from anywhere."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from harness.records.bounded_json import require_modest, unique
from harness.records.errors import first_fault
from harness.records.schema import Digest, Name
from harness.system.errors import InputError

MOST_TRIALS = 100_000
_MOST_VALUES = 2_000_000
_Text = Annotated[str, StringConstraints(max_length=10_000)]


class _Open(BaseModel):
    # A later version may say more; what this one reads is strict.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Trial(_Open):
    label: _Text
    work_id: Digest
    trial_id: Digest
    code_id: Digest | None = None
    """Of a plan of before None: its one code is every trial's."""
    refusal: _Text | None
    replicas: int = Field(ge=0, le=10_000)
    overrides: list[_Text] = Field(default=[], max_length=10_000)


class _Plan(_Open):
    sweep: Name
    overrides: list[_Text] = Field(default=[], max_length=100_000)
    machine_id: Digest
    code_id: Digest
    trials: list[_Trial] = Field(max_length=MOST_TRIALS)


def read_plan_bytes(data: bytes) -> dict[str, Any]:
    """Return a plan as plain data, with everything that this version reads in its place.

    Raises:
        ValueError: it is no plan; one line says where.
    """
    try:
        require_modest(data, _MOST_VALUES)
        told = json.loads(data, object_pairs_hook=unique)
        _Plan.model_validate(told)
    except ValidationError as error:
        raise InputError(f"not a plan: {first_fault(error)}") from error
    except RecursionError as error:
        raise InputError("not a plan: nested too deeply") from error
    plan: dict[str, Any] = told
    return plan
