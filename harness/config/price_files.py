"""Read a price file, by a name of `conf/price/` or by its path, with the tables shipped there."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from harness.config.prices import Closed, DevicePrice, Figure, Prices, Region, UnknownPrice
from harness.config.yaml_files import read_yaml, validated

TABLES = "tables"
_Model = TypeVar("_Model", bound=Closed)


def load_prices(name: str, folder: Path) -> Prices:
    """Read the price file of a name in `folder`, or the user's own by its path; tables are in `folder`.

    Raises:
        UnknownPrice: there is no such file.
        ValueError: it is not a price file; the message names file and key.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.yaml") if p.stem != "none")
        there = ", ".join(known) or "none but what you write"
        raise UnknownPrice(f"no price file {path}; there are: {there} (docs/cost.md shows one)")
    content = {"name": path.stem, **read_yaml(path)}
    tables = {
        "shared_devices": _table(folder / TABLES / "devices.yaml", DevicePrice),
        "shared_regions": _table(folder / TABLES / "regions.yaml", Region),
        "shared_rates": _table(folder / TABLES / "currencies.yaml", Figure),
    }
    return validated(Prices, {**content, **tables, "path": path}, path)


def _table(path: Path, model: type[_Model]) -> dict[str, _Model]:
    if not path.is_file():
        return {}
    return {key: validated(model, value, path, key) for key, value in read_yaml(path).items()}
