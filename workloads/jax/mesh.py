"""Several devices of one process as a mesh: batches split over it, weights whole on each or split too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from workloads.base import UnsupportedError

Layout = Literal["whole", "split"]
"""`whole`: every device holds all weights (data parallel). `split`: each holds a part (as FSDP does)."""
_AXIS = "devices"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where arrays lie."""

    mesh: Mesh
    layout: Layout = "whole"

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return int(self.mesh.devices.size)

    def batch(self, array: jax.Array) -> jax.Array:
        """Split the samples of a batch over the devices.

        Raises:
            UnsupportedError: they do not split evenly.
        """
        if array.shape[0] % self.devices:
            raise UnsupportedError(f"batch {array.shape[0]} does not split over {self.devices} devices")
        return jax.device_put(array, NamedSharding(self.mesh, PartitionSpec(_AXIS)))

    def weight(self, array: jax.Array) -> jax.Array:
        """Put a weight, or an optimizer's state of it, where the layout says."""
        return jax.device_put(array, self.weight_sharding(array))

    def weight_sharding(self, array: Any) -> NamedSharding:
        """Split the first dimension that the devices divide; what has none is whole on each."""
        if self.layout == "split":
            for place, size in enumerate(array.shape):
                if size >= self.devices and size % self.devices == 0:
                    return NamedSharding(self.mesh, PartitionSpec(*[None] * place, _AXIS))
        return self.whole

    @property
    def whole(self) -> NamedSharding:
        """On every device."""
        return NamedSharding(self.mesh, PartitionSpec())


def placement(first: int, count: int, layout: Layout) -> Placement:
    """Return a mesh of `count` of this process's devices from number `first` on.

    Raises:
        UnsupportedError: there are fewer.
    """
    devices = jax.local_devices()
    if first + count > len(devices):
        raise UnsupportedError(f"{count} devices from {first} on were asked for, JAX shows {len(devices)}")
    # The default is explicit axes, under which an embedding's gather is refused.
    mesh = jax.make_mesh(
        (count,), (_AXIS,), axis_types=(AxisType.Auto,), devices=devices[first : first + count]
    )
    return Placement(mesh, layout)
