"""Resolve a workload's size by name, with single values overridden. Loads without torch."""

from __future__ import annotations

from collections.abc import Mapping

from workloads.base import Scalar, Size, WorkloadSpec
from workloads.plugins import nearest

LARGEST = 2**31 - 1
"""No number of a size is larger: beyond are typing errors."""


def resolve_size(spec: WorkloadSpec, size_name: str, overrides: Mapping[str, Scalar | None]) -> Size:
    """Return the named size with `overrides` applied; an override of None keeps the size's own value.

    Raises:
        ValueError: no such size or key (the nearest is named), or a value that it cannot have.
    """
    if size_name not in spec.sizes:
        raise ValueError(f"{spec.name} has no size {size_name!r}{nearest(size_name, spec.sizes)}")
    size = dict(spec.sizes[size_name])
    for key, value in overrides.items():
        if value is None:
            continue
        if key not in size:
            raise ValueError(f"{spec.name} has no size key {key!r}{nearest(key, size)}")
        size[key] = _checked(spec.name, key, size[key], value)
    return size


def _checked(name: str, key: str, own: Scalar, value: Scalar) -> Scalar:
    if isinstance(own, int) and not isinstance(own, bool):
        least = min(own, 1)  # a number that the workload itself has at 0 may be 0
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: {key} must be a whole number of at least {least}, not {value!r}")
        if value > LARGEST:
            raise ValueError(f"{name}: {key} must be at most {LARGEST}, not {value}")
    elif type(value) is not type(own):
        raise ValueError(f"{name}: {key} must be of type {type(own).__name__}, not {value!r}")
    return value
