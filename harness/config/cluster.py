"""What is asked of a cluster's scheduler: words of its command line, each checked to be only one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, StringConstraints

from harness.config.section import Section

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,:@-]{0,199}$")]
"""A name, or several with commas between."""
Constraint = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9\[(][A-Za-z0-9_.,:&|*()\[\]-]{0,199}$")]
"""Features of nodes with `&`, `|`, brackets and counts."""


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


TimeLimit = Annotated[
    str, BeforeValidator(_text), StringConstraints(pattern=r"^([0-9]{1,4}-)?[0-9]{1,6}(:[0-9]{2}){0,2}$")
]
"""Minutes, or `HH:MM:SS`, or `D-HH:MM:SS`."""
Gpus = Annotated[
    str, BeforeValidator(_text), StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,79}:)?[0-9]{1,4}$")
]
"""A count, or a type and a count: `h100:4`."""
Memory = Annotated[str, BeforeValidator(_text), StringConstraints(pattern=r"^[0-9]{1,9}[KMGT]?$")]
"""MiB, or with its own unit."""


class SlurmConfig(Section):
    """What `sbatch` is asked for each block. Null leaves it to the cluster's defaults."""

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    reservation: Word | None = None
    constraint: Constraint | None = None
    time: TimeLimit | None = None
    nodes: PositiveInt | None = None
    """Of one block's allocation; null is what its trials need (`parallel.nodes`)."""
    gpus: Gpus | None = None
    """Of each node."""
    cpus: PositiveInt | None = None
    """Of each node."""
    memory: Memory | None = None
    """Of each node."""
    exclusive: bool = True
    """No other job on the nodes: neighbours disturb what is measured."""
    blocks: PositiveInt | None = Field(default=None, le=1000)
    """Jobs into which the sweep is shared out; null is one for each comparison."""
    at_once: PositiveInt | None = None
    """Blocks that may run at the same time; null is all of them."""


class RayConfig(Section):
    """What each block takes of a Ray cluster."""

    address: Word | None = None
    """`auto`, or `host:port`; null is the cluster that `RAY_ADDRESS` names, or the one on this host."""
    gpus: int = Field(default=0, ge=0)
    """Of each node that a block uses."""
    cpus: PositiveInt = 1
    resource: Word | None = None
    """A custom resource of the nodes that may be used; a block takes one of it on each."""
    blocks: PositiveInt | None = Field(default=None, le=1000)


Scheduler = Literal["local", "slurm", "ray"]
