"""Who signed a bundle: ed25519 over its list, and each thing that is wrong is refused by name."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from harness.bundles.archive import bundle_signature, write_bundle
from harness.bundles.signature import SignatureError, read_trusted
from harness.cli import main
from harness.records.store import Store, open_store

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519


def _keys(folder: Path, name: str) -> tuple[Path, str]:
    """Write a private key as `ssh-keygen -t ed25519` does; return its path and the line of its signer."""
    key = ed25519.Ed25519PrivateKey.generate()
    encodings = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    path = folder / name
    path.write_bytes(key.private_bytes(*encodings))
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return path, f"{name}@example.org {public.decode()}\n"


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return a signed bundle, who is trusted, and a list of others."""
    store = open_store(tmp_path / "results")
    store.write_plan("demo", {"sweep": "demo", "machine_id": "a" * 16, "code_id": "b" * 16, "trials": []})
    key, line = _keys(tmp_path, "vendor")
    _, other = _keys(tmp_path, "rival")
    (tmp_path / "trusted").write_text(f"# who may sign\n{line}")
    (tmp_path / "others").write_text(other)
    write_bundle(store, ["demo"], tmp_path / "demo.tar", key)
    return tmp_path / "demo.tar", tmp_path / "trusted", tmp_path / "others"


def test_a_signed_bundle_names_its_signer(signed, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """On another machine, with the list of signers alone; a merge keeps the name."""
    bundle, trusted, _ = signed
    assert main(["verify", str(bundle), "--trusted", str(trusted)]) == 0
    assert "signed by vendor@example.org" in capsys.readouterr().out
    other = tmp_path / "second"
    assert main(["merge", str(bundle), "--trusted", str(trusted), "--results", str(other)]) == 0
    assert "vendor@example.org" in next((other / "merged").glob("*.json")).read_text()
    assert main(["verify", str(bundle)]) == 0
    assert "--trusted FILE says whose that is" in capsys.readouterr().out


def test_a_key_that_is_not_trusted_is_refused(signed, capsys: pytest.CaptureFixture[str]) -> None:
    """The line names the key as ssh-keygen does."""
    bundle, _, others = signed
    assert main(["verify", str(bundle), "--trusted", str(others)]) == 2
    assert "a key that is not trusted: SHA256:" in capsys.readouterr().err


def test_an_unsigned_bundle_is_refused_where_a_signer_is_asked_for(signed, tmp_path: Path, capsys) -> None:
    """Taking the signature off is no way around it."""
    bundle, trusted, _ = signed
    write_bundle(Store(tmp_path / "results"), ["demo"], bundle)
    assert main(["verify", str(bundle), "--trusted", str(trusted)]) == 2
    assert "nobody signed it" in capsys.readouterr().err


def _rewritten(bundle: Path, change) -> None:
    with tarfile.open(bundle) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    with tarfile.open(bundle, "w:") as tar:
        for name, data in change(members):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: [*m[:2], (m[2][0], m[2][1].replace(b"demo", b"dEmo"))], "was changed: its sha256 differs"),
        (lambda m: m[:2], "demo/plan.json is missing"),
        (lambda m: [(m[0][0], m[0][1].replace(b"plan", b"gate")), *m[1:]], "not the signature of this list"),
        (lambda m: [m[0], (m[1][0], b"{}"), *m[2:]], "SIGNATURE.json"),
        (lambda m: [m[0], (m[1][0], m[1][1].replace(b"ed25519", b"ed448")), *m[2:]], "SIGNATURE.json"),
    ],
)
def test_a_changed_byte_and_a_removed_file_are_refused_by_name(signed, change, said: str, capsys) -> None:
    """Of a file, the list, or the signature itself."""
    bundle, trusted, _ = signed
    _rewritten(bundle, change)
    assert main(["verify", str(bundle), "--trusted", str(trusted)]) == 2
    assert said in capsys.readouterr().err


def test_keys_and_lists_that_do_not_do_are_one_line(signed, tmp_path: Path) -> None:
    """Another kind of key, a list without a key, and text that is none."""
    bundle, _, _ = signed
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ec").write_bytes(pem)
    with pytest.raises(SignatureError, match="not an ed25519 key"):
        write_bundle(Store(tmp_path / "results"), ["demo"], tmp_path / "x.tar", tmp_path / "ec")
    for text, said in (
        ("", "no ssh-ed25519 key"),
        ("me ssh-ed25519 AAAA\n", "not an ed25519"),
        ("me\n", "line 1"),
    ):
        (tmp_path / "list").write_text(text)
        with pytest.raises(SignatureError, match=said):
            read_trusted(tmp_path / "list")
    assert bundle_signature(bundle) is not None
