"""Where requests go, and that the key goes nowhere else."""

import pytest

from harness.serving.endpoint.address import check_key_goes_safely, parse_url, read_key
from harness.serving.endpoint.client import Asked
from harness.system.errors import InputError, ResourceError

SECRET = "sk-not-a-real-key"


@pytest.mark.parametrize(
    ("url", "name", "path", "here"),
    [
        ("http://127.0.0.1:8000/v1/", "127.0.0.1:8000", "/v1", True),
        ("https://api.example.com/v1", "api.example.com", "/v1", False),
        ("http://[::1]:80", "[::1]", "", True),
        ("http://localhost:1", "localhost:1", "", True),
    ],
)
def test_an_address(url, name, path, here):
    """Host, port and path as the request needs them."""
    address = parse_url(url)
    assert (address.name, address.path, address.on_this_machine) == (name, path, here)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://x/",
        "x",
        "http://",
        "http://u:p@h/",
        "http://h/?k=1",
        "http://h/#a",
        "http://h:99999",
        "http://h\r\nX: y",
        "http://h/ö",
        "http://h/" + "x" * 3000,
        "http://[::1",
    ],
)
def test_no_address(url):
    """One line, and what may be a secret in it is not repeated."""
    with pytest.raises(InputError) as error:
        parse_url(url)
    assert "\n" not in str(error.value)
    assert "u:p" not in str(error.value)


def test_a_key_from_the_environment_or_a_file(monkeypatch, tmp_path):
    """It is in the request's header, and in no text of an object."""
    monkeypatch.setenv("SOME_KEY", SECRET)
    file = tmp_path / "key"
    file.write_text(SECRET + "\n")
    for key in (read_key("SOME_KEY", None), read_key(None, str(file))):
        assert key is not None
        asked = Asked(parse_url("https://h/v1"), "m", key=key)
        assert f"Authorization: Bearer {SECRET}\r\n".encode() in asked.request("hi", 1)
        assert SECRET not in repr(asked) + str(key) + f"{asked}"
        assert key.hidden_in(f"no such key: {SECRET}") == "no such key: [key]"
    assert read_key(None, None) is None


def test_no_key(monkeypatch, tmp_path):
    """What is missing is named; what is wrong is not shown."""
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(InputError, match="no such variable"):
        read_key("SOME_KEY", None)
    with pytest.raises(ResourceError):
        read_key(None, str(tmp_path / "none"))
    with pytest.raises(InputError, match="not both"):
        read_key("A", "b")
    for text in ("", "a\nb", "x" * 20_000, "ö"):
        (tmp_path / "key").write_text(text)
        with pytest.raises(InputError, match="holds no key") as error:
            read_key(None, str(tmp_path / "key"))
        assert len(str(error.value)) < 300


def test_a_key_does_not_travel_in_the_clear(monkeypatch):
    """Plain http is for this machine."""
    monkeypatch.setenv("SOME_KEY", SECRET)
    key = read_key("SOME_KEY", None)
    with pytest.raises(InputError, match="https"):
        check_key_goes_safely(parse_url("http://example.com/v1"), key)
    check_key_goes_safely(parse_url("http://example.com/v1"), None)
    check_key_goes_safely(parse_url("https://example.com/v1"), key)
    check_key_goes_safely(parse_url("http://127.0.0.1:8/v1"), key)
