"""A bundle is not written while something in it looks like a secret."""

from __future__ import annotations

import pytest

from harness.bundles.secrets import suspicions
from harness.cli import main
from harness.records import open_store


def sweep(root):
    """Return the folder of a sweep `s`."""
    folder = root / "s"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"devices": ["command:meter --token abcdef123456"]}', "a password or token"),
        ("PASSWORD=correct-horse", "a password or token"),
        ("https://alice:hunter22@host/redfish", "a password in an address"),
        ("Authorization: Bearer abcdefghijklmnopqrstuvwx", "a bearer token"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "a token"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "a private key"),
    ],
)
def test_what_looks_like_a_secret_is_named(tmp_path, text, what):
    """By the file, and never in full."""
    sweep(tmp_path).joinpath("log.txt").write_text(f"begin\n{text}\nend")
    (found,) = suspicions(open_store(tmp_path), ["s"])
    assert found.startswith(f"s/log.txt: {what}")
    assert text not in found


@pytest.mark.parametrize(
    "text",
    [
        '{"throughput.tokens": 5.0, "unit": "tokens/s", "tokens": 128}',
        '{"password": null, "secret": false}',
        "the last token: 12345678",
        "https://example.org:8080/path",
    ],
)
def test_what_only_sounds_like_one_is_none(tmp_path, text):
    """Tokens are what language models count."""
    sweep(tmp_path).joinpath("record.json").write_text(text)
    assert list(suspicions(open_store(tmp_path), ["s"])) == []


def test_a_bundle_with_one_is_refused_unless_told(tmp_path, capsys):
    """One line that says where; `--accept-secrets` hands it on."""
    sweep(tmp_path).joinpath("plan.json").write_text('{"token": "ghp_abcdefghijklmnopqrstuvwxyz0123456789"}')
    words = ["bundle", "s", "--results", str(tmp_path), "-o", str(tmp_path / "s.tar")]
    assert main(words) == 2
    assert "s/plan.json: a token" in capsys.readouterr().err
    assert not (tmp_path / "s.tar").exists()
    assert main([*words, "--accept-secrets"]) == 0


def test_a_long_run_of_spaces_is_passed_over(tmp_path):
    """A pattern that tries each split of it would not end."""
    sweep(tmp_path).joinpath("log.txt").write_text(("password" + " " * 300_000 + ",") * 3)
    assert list(suspicions(open_store(tmp_path), ["s"])) == []


def test_a_text_that_is_too_large_to_look_through_is_named(tmp_path):
    """It is not read at all: a hole of 200 GB costs nothing to plant."""
    with sweep(tmp_path).joinpath("log.txt").open("wb") as file:
        file.truncate(200 * 10**9)
    (found,) = suspicions(open_store(tmp_path), ["s"])
    assert found.startswith("s/log.txt: more than ")
