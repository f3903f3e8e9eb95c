"""Who vouches for a bundle: ed25519 over its list of files, with OpenSSH's keys and lists of signers.

Keys that people have (`ssh-keygen -t ed25519`) and `allowed_signers` files, as git reads them, need no
network, clock or account; the list holds the sha256 of every file, so that its signature covers them all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from harness.records.errors import faults_of, first_fault
from harness.records.store import read_bounded
from harness.system.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "SIGNATURE.json"
SIGNATURE_BYTES = 4096
_CONTEXT = b"joulemark-bundle-1\n"
"""Signed before the list, so that a signature of something else is none of a bundle."""
_MOST_KEY_BYTES = 1 << 16
_MOST_SIGNERS = 10_000
_Base64 = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{20,120}={0,2}$")]


class SignatureError(InputError):
    """A signature, key or list of signers that does not do; one line says why."""


class Signature(BaseModel):
    """What stands in a bundle beside its list."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["joulemark-signature"] = "joulemark-signature"
    version: Literal[1] = 1
    algorithm: Literal["ed25519"] = "ed25519"
    public_key: _Base64
    signature: _Base64

    @property
    def key_id(self) -> str:
        """The key as `ssh-keygen -l` names it."""
        return key_id(_raw(self.public_key, 32))


def sign(manifest: bytes, key: Path) -> bytes:
    """Return what goes into a bundle beside its list.

    Args:
        manifest: the bytes of the list.
        key: an ed25519 private key of OpenSSH or in PEM, without a passphrase.

    Raises:
        SignatureError: it is no such key, or `cryptography` is not installed.
        OSError: it cannot be read.
    """
    private = _private_key(key)
    made = Signature(
        public_key=_text(private.public_key().public_bytes_raw()),
        signature=_text(private.sign(_CONTEXT + manifest)),
    )
    return made.model_dump_json(indent=1).encode() + b"\n"


def checked(data: bytes, manifest: bytes) -> Signature:
    """Return a bundle's signature once it is known to be one of this list, by whatever key.

    Raises:
        SignatureError: it is none, or of another list.
    """
    from_cryptography = _library()
    try:
        told = Signature.model_validate_json(data)
    except ValidationError as error:
        raise SignatureError(f"{SIGNATURE}: {first_fault(error)}") from error
    public: Ed25519PublicKey = from_cryptography["ed25519"].Ed25519PublicKey.from_public_bytes(
        _raw(told.public_key, 32)
    )
    try:
        public.verify(_raw(told.signature, 64), _CONTEXT + manifest)
    except from_cryptography["InvalidSignature"]:
        raise SignatureError(f"{SIGNATURE}: it is not the signature of this list by {told.key_id}") from None
    return told


def signer(signature: Signature | None, trusted: Mapping[bytes, str]) -> str:
    """Return who signed.

    Raises:
        SignatureError: nobody did, or with a key that is not among those that are trusted.
    """
    if signature is None:
        raise SignatureError("nobody signed it")
    name = trusted.get(_raw(signature.public_key, 32))
    if name is None:
        raise SignatureError(f"signed with a key that is not trusted: {signature.key_id}")
    return name


def read_trusted(path: Path) -> dict[bytes, str]:
    """Return the names of trusted signers by their keys, from an `allowed_signers` file of OpenSSH.

    A line is `NAME ssh-ed25519 KEY`; other kinds of keys cannot sign a bundle and are passed over.

    Raises:
        SignatureError: a line that is none, or no key at all.
        OSError: it cannot be read.
    """
    with faults_of(path):
        text = read_bounded(path, _MOST_KEY_BYTES * 16).decode("utf-8", "strict")
    found: dict[bytes, str] = {}
    for number, line in enumerate(text.splitlines()[:_MOST_SIGNERS], 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if "ssh-ed25519" not in words[1:-1]:
            if any(word.startswith(("ssh-", "ecdsa-", "sk-")) for word in words):
                continue
            raise SignatureError(f"{path}: line {number} is not `NAME ssh-ed25519 KEY`")
        found[_ssh_key(words[words.index("ssh-ed25519") + 1], path, number)] = words[0]
    if not found:
        raise SignatureError(f"{path}: it holds no ssh-ed25519 key")
    return found


def key_id(raw: bytes) -> str:
    """Return a public key's name as `ssh-keygen -l` prints it."""
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", raw))
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _ssh_key(text: str, path: Path, number: int) -> bytes:
    head = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        blob = b""
    if not blob.startswith(head) or len(blob) != len(head) + 32:
        raise SignatureError(f"{path}: line {number}: not an ed25519 key")
    return blob[len(head) :]


def _private_key(path: Path) -> Ed25519PrivateKey:
    library = _library()
    with faults_of(path):
        data = read_bounded(path, _MOST_KEY_BYTES)
    ssh = b"OPENSSH PRIVATE KEY" in data
    load = (
        library["serialization"].load_ssh_private_key
        if ssh
        else library["serialization"].load_pem_private_key
    )
    try:
        key = load(data, password=None)
    except (ValueError, TypeError, library["UnsupportedAlgorithm"]) as error:
        raise SignatureError(f"{path}: not a private key without a passphrase") from error
    if not isinstance(key, library["ed25519"].Ed25519PrivateKey):
        raise SignatureError(f"{path}: not an ed25519 key; `ssh-keygen -t ed25519` makes one")
    return key  # type: ignore[no-any-return]


def _library() -> dict[str, Any]:
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise SignatureError("signatures need the extra sign: pip install 'joulemark[sign]'") from error
    return {
        "InvalidSignature": InvalidSignature, "UnsupportedAlgorithm": UnsupportedAlgorithm,
        "serialization": serialization, "ed25519": ed25519,
    }  # fmt: skip


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _raw(text: str, size: int) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise SignatureError(f"{SIGNATURE}: not base64") from error
    if len(raw) != size:
        raise SignatureError(f"{SIGNATURE}: {len(raw)} bytes, not {size}")
    return raw
