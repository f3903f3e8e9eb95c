"""Times as tools write them, as seconds since 1970: ISO 8601, epochs of any unit, dates without a zone.

A date without a zone is this machine's local time unless a zone is named, and whoever reads it says so.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from harness.energy.sensors.base import SensorUnavailable

_EPOCH_FROM_S, _EPOCH_TO_S = 1e9, 1e10
"""Seconds since 1970 of our days; larger numbers are finer units, smaller ones count from elsewhere."""
_FORMATS = ("%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%m-%d-%Y %H:%M:%S")
"""nvidia-smi, German spreadsheets, PTDaemon."""
_FRACTION = re.compile(r"(?P<whole>.*:\d\d)[.,](?P<digits>\d{1,9})")
_CLOCK = re.compile(r"\d{1,2}:\d\d:\d\d")


def zone_of(name: str) -> tzinfo | None:
    """Return a zone by its name, e.g. `Europe/Berlin`; an empty name is this machine's, None.

    Raises:
        SensorUnavailable: there is no such zone.
    """
    if not name:
        return None
    try:
        return UTC if name.upper() in {"UTC", "Z"} else ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise SensorUnavailable(f"no time zone {name!r}", "name one such as UTC or Europe/Berlin") from error


def local_zone() -> str:
    """Return what this machine calls its zone, with its distance from UTC."""
    here = datetime.now().astimezone()
    return f"{here.tzname()}, UTC{here.strftime('%z')[:3]}:{here.strftime('%z')[3:]}"


def epoch_s(text: str, now_s: float, zone: tzinfo | None, scale: float | None = None) -> float | None:
    """Return a moment in seconds since 1970, or None where the text is none.

    Args:
        text: As a log has it.
        now_s: The present, nearest to which a time of day, or an hour that comes twice, is taken.
        zone: Of dates that name none; None is this machine's.
        scale: Seconds of the number's unit, where the header names one.
    """
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        return _moment(text, now_s, zone)
    scales = (scale,) if scale is not None else (1.0, 1e-3, 1e-6, 1e-9)
    return next((number * s for s in scales if _EPOCH_FROM_S <= number * s < _EPOCH_TO_S), None)


def names_zone(text: str) -> bool:
    """Return whether a time needs no zone of ours: a number since 1970, or a date with its own."""
    text = text.strip()
    try:
        float(text)
    except ValueError:
        return (found := _parsed(text)) is not None and found.tzinfo is not None
    return True


def _moment(text: str, now_s: float, zone: tzinfo | None) -> float | None:
    if _CLOCK.match(text):  # a time of day: of the day that brings it nearest to now
        today = datetime.fromtimestamp(now_s, zone).date()
        days = [_parsed(f"{(today + timedelta(d)).isoformat()} {text}") for d in (-1, 0, 1)]
        moments = [_stamp(day, now_s, zone) for day in days if day is not None]
        return min(moments, key=lambda t: abs(t - now_s), default=None)
    found = _parsed(text)
    return None if found is None else _stamp(found, now_s, zone)


def _parsed(text: str) -> datetime | None:
    fraction = _FRACTION.fullmatch(text)
    whole, digits = (fraction["whole"], fraction["digits"]) if fraction else (text, "0")
    for form in _FORMATS:
        try:
            found = datetime.strptime(whole, form)  # noqa: DTZ007 - the zone is the caller's
        except ValueError:
            continue
        return found.replace(microsecond=round(float(f"0.{digits}") * 1e6) % 1_000_000)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _stamp(moment: datetime, now_s: float, zone: tzinfo | None) -> float:
    if moment.tzinfo is not None:
        return moment.timestamp()
    both = [moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]  # an hour may come twice a year
    return min((m.timestamp() for m in both), key=lambda t: abs(t - now_s))
