"""What compressors and parallel strategies share: their description as plain data, loaded without torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar

from workloads.base import Scalar, Size, WorkloadSpec
from workloads.optimize import EAGER, Optimize
from workloads.plugins import nearest

__all__ = [
    "EXTRAS",
    "NONE",
    "Cell",
    "Setting",
    "Transform",
    "TransformSpec",
    "lacks_library",
    "resolve_settings",
    "spec_refusal",
]

EXTRAS = {"transformers": "hf", "torchao": "quant", "peft": "quant", "httptools": "serve"}
"""Which extra of this project brings a library."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a transformation: its default, and the values it may take."""

    default: Scalar
    about: str
    choices: tuple[Scalar, ...] = ()
    least: float | None = None
    most: float | None = None

    def checked(self, name: str, value: Scalar) -> Scalar:
        """Return a value of this setting.

        Raises:
            ValueError: it is of another type, or out of range.
        """
        if isinstance(self.default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(self.default):
            raise ValueError(f"{name} must be of type {type(self.default).__name__}, not {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"{name} must be one of {', '.join(map(str, self.choices))}, not {value!r}")
        if self.least is not None and float(value) < self.least:
            raise ValueError(f"{name} must be at least {self.least:g}, not {value!r}")
        if self.most is not None and float(value) > self.most:
            raise ValueError(f"{name} must be at most {self.most:g}, not {value!r}")
        return value


@dataclass(frozen=True, slots=True)
class TransformSpec:
    """A compressor or parallel strategy as plain data, for `list`, `plan` and the compatibility matrix."""

    name: str
    title: str
    summary: str
    modes: tuple[str, ...]
    needs: frozenset[str] = frozenset()
    """Traits that the workload must have, see `workloads.base.TRAITS`."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    precisions: tuple[str, ...] = ("fp32", "tf32", "bf16")
    devices: tuple[str, ...] = ("cpu", "cuda")
    library: str | None = None
    """A package that it needs, which an extra of this project brings."""
    compress: tuple[str, ...] = ("none",)
    """Of a strategy: the compressors that it works with."""
    shares_device: bool = False
    """Of a strategy: whether all its ranks run on one device."""
    compiles: bool = True
    """Whether torch.compile may be asked for too."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of everything that decides whether a trial can work."""

    workload: WorkloadSpec
    mode: str
    size: Size
    precision: str = "fp32"
    optimize: Optimize = EAGER
    compress: str = "none"
    compress_settings: Mapping[str, Scalar] = field(default_factory=dict)
    parallel: str = "none"
    parallel_settings: Mapping[str, Scalar] = field(default_factory=dict)
    ranks: int = 1
    accumulate: int = 1
    optimizer: str | None = None
    """None is the workload's own."""
    device: str = "cpu"


class Transform:
    """A transformation of a workload; constructing it loads no torch and touches no device.

    Args:
        settings: Every setting of its spec, checked.
    """

    spec: ClassVar[TransformSpec]

    def __init__(self, settings: Mapping[str, Scalar]) -> None:
        self.settings = settings

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:  # noqa: ARG003 - for those that have rules
        """Return why this one cannot work in `cell`, beyond what its spec says; None when it can."""
        return None


def resolve_settings(spec: TransformSpec, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return every setting of a transformation, `given` over the defaults.

    Raises:
        ValueError: no such setting (the nearest is named), or an impossible value.
    """
    for key in given:
        if key not in spec.settings:
            raise ValueError(f"{spec.name} has no setting {key!r}{nearest(key, spec.settings)}")
    return {
        key: setting.checked(f"{spec.name}: {key}", given.get(key, setting.default))
        for key, setting in spec.settings.items()
    }


def spec_refusal(transform: type[Transform], cell: Cell) -> str | None:
    """Return why a transformation cannot work in `cell`, from its spec and its own rules."""
    spec, workload = transform.spec, cell.workload
    if cell.mode not in spec.modes:
        return f"{spec.name} has no meaning in mode {cell.mode}; it has in {', '.join(spec.modes)}"
    if missing := sorted(spec.needs - workload.traits):
        return f"{spec.name} needs what {workload.name} lacks: {', '.join(missing)}"
    if cell.precision not in spec.precisions:
        return f"{spec.name} works with precision {', '.join(spec.precisions)}, not {cell.precision}"
    if cell.device not in spec.devices:
        return f"{spec.name} works on {', '.join(spec.devices)}, not on {cell.device}"
    if cell.optimize.compile is not None and not spec.compiles:
        return f"{spec.name} does not work with torch.compile"
    return lacks_library(spec) or transform.refusal(cell)


@cache
def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def lacks_library(spec: WorkloadSpec | TransformSpec) -> str | None:
    """Return how to install the library that a workload or transformation needs, None when it is there."""
    if spec.library is None or _is_installed(spec.library):
        return None
    extra = EXTRAS.get(spec.library)
    package = spec.library if extra is None else f"'joulemark[{extra}]'"
    return f"{spec.name} needs {spec.library}: pip install {package}"


NONE = "none"
