"""Libraries compiled on first use: built once for what they depend on, and refused with a reason."""

import pytest

from harness.system import native

SOURCE = "int answer(void) { return %d; }\n"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A C file, and a cache of the test's own."""
    if native.compiler_path() is None:
        pytest.skip("no C compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "answer.c"
    path.write_text(SOURCE % 42)
    return path


def built():
    """Return the names of what was built."""
    return sorted(path.name for path in native.cache_folder().glob("*.so"))


def test_a_library_is_built_once_for_each_source_and_flags(source):
    """The same source is not built again; another one, or other flags, is a file of its own."""
    assert native.load("answer", [source], ["-O1"]).answer() == 42
    first = native.cache_folder() / built()[0]
    made = first.stat().st_mtime_ns
    native.load("answer", [source], ["-O1"])
    assert [first.name] == built()
    assert first.stat().st_mtime_ns == made
    native.load("answer", [source], ["-O2"])
    source.write_text(SOURCE % 43)
    assert native.load("answer", [source], ["-O1"]).answer() == 43
    assert len(built()) == 3


def test_a_header_is_part_of_the_key(source, tmp_path):
    """A changed header is another library, although no C file changed."""
    header = tmp_path / "value.h"
    header.write_text("enum { VALUE = 1 };\n")
    source.write_text('#include "value.h"\nint answer(void) { return VALUE; }\n')
    assert native.load("answer", [source, header], ["-O1"]).answer() == 1
    header.write_text("enum { VALUE = 2 };\n")
    assert native.load("answer", [source, header], ["-O1"]).answer() == 2


def test_code_for_this_processor_is_kept_by_its_features(source, monkeypatch):
    """A home folder shared by unlike machines holds a library for each."""
    native.load("answer", [source], ["-march=native"])
    monkeypatch.setattr(native, "_cpu_features", lambda: "another processor")
    native.load("answer", [source], ["-march=native"])
    assert len(built()) == 2


@pytest.mark.parametrize(
    ("text", "compiler", "said"),
    [("not C", None, "cannot build"), (SOURCE % 1, "no-such-compiler", "no C compiler")],
)
def test_what_cannot_be_built_is_one_typed_refusal(source, monkeypatch, text, compiler, said):
    """A broken source and a missing compiler raise the same type, and leave nothing behind."""
    source.write_text(text)
    if compiler:
        monkeypatch.setenv("CC", compiler)
    with pytest.raises(native.NotBuiltError, match=said):
        native.load("answer", [source], [])
    assert built() == []


def test_a_damaged_library_is_built_again(source):
    """What is in the cache is held to its digest before it is loaded: a damaged one could end the process."""
    native.load("answer", [source], ["-O1"])
    library = native.cache_folder() / built()[0]
    library.unlink()
    library.write_bytes(b"damaged")
    assert native.load("answer", [source], ["-O1"]).answer() == 42
    assert native._is_whole(library)
