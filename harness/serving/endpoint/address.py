"""Where an endpoint is and with which key it is asked: checked before anything is sent."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from harness.system.errors import InputError, access_to

LONGEST_URL = 2000
_KEY_LIMIT_BYTES = 16 * 1024
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A server's base address, e.g. of `http://127.0.0.1:8000/v1`."""

    secure: bool
    host: str
    port: int
    path: str
    """Without the slash at its end."""

    @property
    def name(self) -> str:
        """What the header `Host` says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.secure else "http"] else f"{host}:{self.port}"

    @property
    def on_this_machine(self) -> bool:
        """Whether nothing that is sent there leaves this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class Key:
    """A secret: it is sent to the server and shown nowhere."""

    _value: str = field(repr=False)

    def header(self) -> bytes:
        """Return the line of the request that carries it."""
        return f"Authorization: Bearer {self._value}\r\n".encode()

    def hidden_in(self, text: str) -> str:
        """Return a text of the server without the key, should it repeat it."""
        return text.replace(self._value, "[key]")


def parse_url(url: str) -> Address:
    """Read an address.

    Raises:
        InputError: it is no address by http or https, or it holds a user, a query or a control character.
    """
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise InputError("an address is one printable ASCII word of at most 2000 characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError("host or port cannot be read") from None
    if parts.scheme not in _PORTS:
        raise InputError("only http:// and https:// are asked")
    if not parts.hostname:
        raise InputError("no host in it")
    if parts.username is not None or parts.password is not None:
        raise InputError("a user or password in it; give workload.key_env or workload.key_file")
    if parts.query or parts.fragment:
        raise InputError("give the base alone, without a query")
    return Address(
        parts.scheme == "https", parts.hostname, port or _PORTS[parts.scheme], parts.path.rstrip("/")
    )


def read_key(environment: str | None, file: str | None) -> Key | None:
    """Return the key from the environment's variable or the file that is named; None where none is.

    Raises:
        InputError: both are named, the variable is not set, or what is there is no key.
        ResourceError: the file cannot be read.
    """
    if environment is not None and file is not None:
        raise InputError("give workload.key_env or workload.key_file, not both")
    if environment is not None:
        if (value := os.environ.get(environment)) is None:
            raise InputError(f"workload.key_env={environment}: the environment has no such variable")
        return _key(value, f"workload.key_env={environment}")
    if file is not None:
        path = Path(file)
        with access_to(path), path.open("rb") as opened:
            data = opened.read(_KEY_LIMIT_BYTES + 1)
        return _key(data.decode("utf-8", "replace"), f"workload.key_file={file}")
    return None


def _key(text: str, where: str) -> Key:
    value = text.strip()
    if not value or len(value) > _KEY_LIMIT_BYTES or not value.isascii() or not value.isprintable():
        raise InputError(f"{where}: it holds no key, which is one line of printable ASCII")
    return Key(value)


def check_key_goes_safely(address: Address, key: Key | None) -> None:
    """Keep a key from travelling in the clear.

    Raises:
        InputError: the server is on another machine and the address is plain http.
    """
    if key is not None and not address.secure and not address.on_this_machine:
        raise InputError(
            "workload.url: a key goes over https, or to this machine; plain http shows it to others"
        )
