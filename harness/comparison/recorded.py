"""From the configuration that a record keeps to overrides that are safe to run.

A record may come from anywhere, so its configuration is data. Only settings of a list may be taken from it,
each in a form that can name no file, program, folder or host; the user must name whatever else is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.config.compose import Composer
from harness.config.models import Config
from harness.planning.plan import PlannedTrial, make_plan
from harness.records.errors import first_fault
from harness.records.repeatable import ALLOWED, SAFE_DATA, SAFE_SENSORS, SENSOR_DEVICE, WORD
from harness.system.errors import InputError

_IGNORED = frozenset({"run", "price", "report", "overrides"})
"""Sections that say nothing of what a trial measures."""


class NotRepeatableError(InputError):
    """A record's configuration cannot be run from the record alone; the message says what is in the way."""


def _recorded_overrides(config: Mapping[str, Any], folders: Sequence[Path] = ()) -> list[str]:
    """Return overrides that make the trial of a record again, by what the list allows.

    Args:
        config: a record's resolved configuration.
        folders: of the user's own groups.

    Raises:
        NotRepeatableError: it is not a configuration, or it needs what a record may not name.
    """
    known = {key: value for key, value in config.items() if key not in _IGNORED}
    try:
        recorded = Config.model_validate(known).model_dump(mode="json")
    except ValidationError as error:
        raise NotRepeatableError(f"its configuration is not one: {first_fault(error)}") from error
    with Composer(folders) as composer:
        base = composer.compose([])
    words = list(_words(recorded, base))
    return [f"seed={recorded['seed']}", *words]


def repeat(
    trial_id: str, config: Mapping[str, Any], plan: Sequence[str], folders: Sequence[Path]
) -> list[str]:
    """Return the overrides that make one recorded trial, from the user's own plan or else by the list.

    Args:
        trial_id: the record's.
        config: the record's.
        plan: overrides of the user's own sweep, from a policy; whatever it names is the user's own word.
        folders: of the user's own groups.

    Raises:
        ValueError: neither makes a trial of this identity.
    """
    if plan:
        for trial in make_plan(plan, user_folders=folders).trials:
            if trial.trial_id == trial_id:
                return _own(trial)
    words = _recorded_overrides(config, folders)
    trials = make_plan(words, user_folders=folders).trials
    if [trial.trial_id for trial in trials] != [trial_id]:
        raise NotRepeatableError("its configuration does not make its own trial again")
    return words


def _own(trial: PlannedTrial) -> list[str]:
    words = [w for w in trial.overrides if not w.lstrip("+").startswith("run.")]
    # The trial's own overrides stand for the experiment's grids.
    return [*words, "sweep=[]"] if any(w.startswith("+experiment=") for w in words) else words


def _words(recorded: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[str]:
    plain = Config(workload={"name": "none"}).model_dump(mode="json")  # type: ignore[arg-type]
    for section, values in recorded.items():
        if section in _IGNORED or section == "seed":
            continue
        for key, value in values.items():
            default = base.get(section, {}).get(key, plain[section][key])
            if value == default or (not value and not default):
                continue
            if (section, key, value) == ("workload", "data", SAFE_DATA):
                yield f"workload.data={SAFE_DATA}"
                continue
            if key not in ALLOWED.get(section, ()):
                raise NotRepeatableError(f"it needs {section}.{key}, which a record may not name")
            yield from _word(section, key, value)


def _word(section: str, key: str, value: Any) -> Iterator[str]:
    name = f"{section}.{key}"
    if name == "power.devices":
        if not all(SENSOR_DEVICE.fullmatch(device) for device in value):
            raise NotRepeatableError("it needs power.devices that a record may not name")
        yield f"{name}=[{','.join(value)}]"
    elif isinstance(value, dict):
        for inner, one in value.items():
            if not WORD.fullmatch(inner):
                raise NotRepeatableError(f"{name} has a key that a record may not name")
            yield f"{name}.{inner}={_scalar(name, one)}"
    elif name == "power.sensor" and value not in SAFE_SENSORS:
        raise NotRepeatableError(f"it needs a sensor that a record may not start ({_scalar(name, value)})")
    else:
        yield f"{name}={_scalar(name, value)}"


def _scalar(name: str, value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if not isinstance(value, str) or not WORD.fullmatch(value):
        raise NotRepeatableError(f"{name} has a value that a record may not name")
    return f"'{value}'" if re.fullmatch(r"[0-9].*", value) else value
