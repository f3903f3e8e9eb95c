"""What was handed to a scheduler, kept beside the records so that others can join, watch and judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from harness.execution.places import SAME_CODE
from harness.planning.blocks import MOST
from harness.records.errors import first_fault
from harness.records.schema import Digest, Facts, Record
from harness.records.store import Store, read_bounded
from harness.system.errors import InputError
from harness.system.files import write_atomically
from harness.system.inside import require_inside

_LIMIT_BYTES = 2**20
_Text = Annotated[str, StringConstraints(max_length=1000)]


class Jobs(BaseModel):
    """The newest submission of a sweep."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    scheduler: Annotated[str, StringConstraints(pattern="^(slurm|ray)$")]
    job: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}$")]
    """Slurm's id of the array; of Ray the process that drives it."""
    of: int = Field(ge=1, le=MOST)
    """Blocks of the whole sweep."""
    blocks: list[int] = Field(max_length=MOST)
    """Those that were submitted: what was left."""
    plan: Digest
    """From `harness.records.chain.plan_digest`."""
    code: dict[str, _Text | None] = Field(max_length=20)
    """Facts of the code by `SAME_CODE`."""

    @classmethod
    def read(cls, store: Store, sweep: str) -> Self | None:
        """Return the sweep's submission; None where it was never handed to a scheduler.

        Raises:
            InputError: what is there is none.
        """
        path = _path(store, sweep)
        try:
            return cls.model_validate(json.loads(read_bounded(path, _LIMIT_BYTES)))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise InputError(f"{path}: not a submission: {first_fault(error)}") from error
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: not a submission: {error}; remove it") from error

    def write(self, store: Store, sweep: str) -> None:
        """Keep it beside the records.

        Raises:
            ResourceError: it cannot be written there.
        """
        path = _path(store, sweep)
        require_inside(store.root, path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.model_dump_json(indent=1).encode() + b"\n")

    def is_of_this_code(self, record: Record) -> bool:
        """Return whether a record is of the code that was submitted, whatever its node's drivers."""
        return all(record.code.get(name) == self.code.get(name) for name in SAME_CODE)


def same_code(code: Facts) -> Facts:
    """Return the facts of a code that a submission keeps."""
    return {name: code.get(name) for name in SAME_CODE}


def _path(store: Store, sweep: str) -> Path:
    return store.sweep_dir(sweep) / "jobs.json"
