"""Ask a Redfish service over verified https: one JSON object at a path, and the paths of its chassis."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from harness.energy.sensors.base import SensorError

_TIMEOUT_S = 5.0
_LIMIT_BYTES = 1 << 20
_MOST_PAGES, _MOST_CHASSIS = 8, 64
_ROOT = "/redfish/v1/Chassis"
_ID = re.compile(r"[A-Za-z0-9_.:~-]{1,80}")


class _SameService(urllib.request.HTTPRedirectHandler):
    """A redirect within the service is followed; any other would carry the password elsewhere."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Follow it within the service, and refuse it otherwise."""
        now, then = urlsplit(req.full_url), urlsplit(newurl)
        if (now.scheme, now.netloc) != (then.scheme, then.netloc):
            raise urllib.error.URLError(f"it redirects to {then.netloc}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(path: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """Get one JSON object from the service, its certificate verified.

    Raises:
        SensorError: no answer in time, or not such an object.
    """
    base = urlsplit(settings["URL"])
    url = f"{base.scheme}://{base.netloc}{path}"
    try:
        context = ssl.create_default_context(cafile=settings.get("CA") or None)
        opener = urllib.request.build_opener(_SameService, urllib.request.HTTPSHandler(context=context))
        request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - https only
        if settings.get("USER"):
            secret = base64.b64encode(f"{settings['USER']}:{settings['PASSWORD']}".encode()).decode()
            request.add_header("Authorization", f"Basic {secret}")
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            found = json.loads(answer.read(_LIMIT_BYTES))
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        raise SensorError(f"{base.hostname}: {path}: {error}") from error
    if not isinstance(found, dict):
        raise SensorError(f"{base.hostname}: {path}: not a JSON object")
    return found


def chassis_paths(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the path of each chassis by its id, which is the last part of it, in the service's order.

    Raises:
        SensorError: the service does not answer.
    """
    found: dict[str, str] = {}
    page: str | None = urlsplit(settings["URL"]).path.rstrip("/").removesuffix("/redfish/v1") + _ROOT
    for _ in range(_MOST_PAGES):
        if page is None or len(found) >= _MOST_CHASSIS:
            break
        collection = fetch(page, settings)
        members = collection.get("Members")
        for member in members if isinstance(members, list) else []:
            path = (linked(member) or "").rstrip("/")
            name = path.rpartition("/")[2]
            if _ID.fullmatch(name):
                found.setdefault(name, path)
        page = linked({"@odata.id": collection.get("Members@odata.nextLink")})
    return found


def linked(link: Any) -> str | None:
    """Return the path within the service that a link names; links to elsewhere and null ones name none."""
    path = link.get("@odata.id") if isinstance(link, dict) else None
    if not isinstance(path, str) or not path.startswith("/") or path.startswith("//"):
        return None
    return path if path.isascii() and path.isprintable() and " " not in path else None
