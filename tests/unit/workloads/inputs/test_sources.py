from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest
import torch
from PIL import Image

from workloads.inputs import sources
from workloads.inputs.sources import SHIPPED, digest, image_files, read_image, read_text, resolve_data


def paint(path, colour, size=(40, 30)):
    """Write an image of one colour."""
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def images(tmp_path):
    """Two classes of two images each."""
    paint(tmp_path / "cat" / "a.png", (255, 0, 0))
    paint(tmp_path / "cat" / "b.jpg", (250, 0, 0))
    paint(tmp_path / "dog" / "c.png", (0, 0, 255))
    paint(tmp_path / "dog" / "d.PNG", (0, 0, 250))
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    return tmp_path


def test_shipped_names_the_text_that_comes_with_the_package():
    """It is there, plain ASCII, and of the size that the demo was tuned on."""
    path = resolve_data("shipped")
    text = path.read_bytes()
    assert path == SHIPPED
    assert 20_000 < len(text) < 40_000
    assert max(text) < 128
    assert b"Four score and seven years ago" in text


def test_a_path_that_is_not_there_is_one_clear_line(tmp_path):
    """The message names the path."""
    with pytest.raises(ValueError, match=r"^data .*nowhere\.txt: no such file or folder$"):
        resolve_data(str(tmp_path / "nowhere.txt"))


def test_a_text_s_digest_is_the_sha256_of_its_contents(tmp_path):
    """The same bytes under another name are the same data."""
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_bytes(b"abc")
    other.write_bytes(b"abc")
    assert digest(one) == digest(other) == hashlib.sha256(b"abc").hexdigest()


def test_a_folder_s_digest_follows_names_and_sizes(images):
    """A new or renamed image changes it; another file does not."""
    before = digest(images)
    (images / "dog" / "more.txt").write_text("still no image")
    assert digest(images) == before
    (images / "cat" / "a.png").rename(images / "cat" / "e.png")
    renamed = digest(images)
    paint(images / "cat" / "f.png", (1, 2, 3))
    assert len({before, renamed, digest(images)}) == 3


def test_bytes_are_tokens(tmp_path):
    """Each byte stands for itself."""
    path = tmp_path / "all.bin"
    path.write_bytes(bytes(range(256)))
    assert read_text(path, 10).tolist() == list(range(256))


@pytest.mark.parametrize(
    ("contents", "message"), [(b"", "empty file"), (b"short", "5 bytes, but these sizes need at least 65")]
)
def test_an_empty_or_short_text_is_one_clear_line(make, tmp_path, contents, message):
    """The message names the path and what is missing."""
    path = tmp_path / "little.txt"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=f"little.txt: {message}"):
        make("gpt", "train", data=path).make_batch(0)


def test_a_text_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    """Reading is bounded."""
    monkeypatch.setattr(sources, "TEXT_LIMIT_BYTES", 10)
    path = tmp_path / "long.txt"
    path.write_bytes(b"12345678901")
    with pytest.raises(ValueError, match=r"long\.txt: 11 bytes, more than the limit of 10"):
        digest(path)


def test_a_folder_in_place_of_a_text_names_the_path(make, tmp_path):
    """Reading a folder as text is the operating system's error, with the path."""
    with pytest.raises(OSError, match=tmp_path.name):
        make("gpt", "train", data=tmp_path).make_batch(0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_text_names_the_path(tmp_path):
    """A file without read permission is an OSError with the path."""
    path = tmp_path / "secret.txt"
    path.write_bytes(b"abc")
    path.chmod(0)
    with pytest.raises(OSError, match=r"secret\.txt"):
        digest(path)


def test_sub_folders_are_classes(images, make):
    """Images keep the class of their folder, in the alphabet's order, and their colour."""
    workload = make("resnet", "train", data=images, batch=16, image=16)
    batch = workload.make_batch(0)
    assert batch["images"].shape == (16, 3, 16, 16)
    red, blue = batch["images"][:, 0].mean((1, 2)), batch["images"][:, 2].mean((1, 2))
    assert batch["labels"].tolist() == (blue > red).long().tolist()
    assert set(batch["labels"].tolist()) == {0, 1}
    assert torch.equal(batch["images"], workload.make_batch(0)["images"])


def test_a_flat_folder_s_classes_come_from_the_names(tmp_path):
    """The same name has the same class everywhere, within the number of classes."""
    for name in ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png"):
        paint(tmp_path / name, (1, 2, 3))
    files = image_files(tmp_path)
    classes = sources.image_classes(tmp_path, files, 4)
    assert classes == sources.image_classes(tmp_path, files, 4)
    assert set(classes) <= {0, 1, 2, 3}
    assert len(set(classes)) > 1


def test_an_image_is_normalised_by_channel(tmp_path):
    """White maps to (1 - mean) / std."""
    paint(tmp_path / "white.png", (255, 255, 255), size=(100, 20))
    pixels = read_image(tmp_path / "white.png", 8)
    assert pixels.shape == (3, 8, 8)
    for channel, mean, std in zip(pixels, sources.MEAN, sources.STD, strict=True):
        np.testing.assert_allclose(channel, (1 - mean) / std, rtol=1e-5)


def test_folders_without_images_and_files_are_refused(tmp_path):
    """One line each, with the path."""
    with pytest.raises(ValueError, match="no image in it"):
        image_files(tmp_path)
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(ValueError, match="not a folder of images"):
        image_files(tmp_path / "text.txt")


def test_too_many_images_are_refused(images, monkeypatch):
    """A part of the folder is never taken in silence."""
    monkeypatch.setattr(sources, "IMAGE_LIMIT", 3)
    with pytest.raises(ValueError, match="more than 3 images"):
        image_files(images)


def test_a_damaged_image_names_the_path(tmp_path):
    """Neither noise nor half a file passes."""
    (tmp_path / "noise.png").write_bytes(b"not a picture")
    with pytest.raises((ValueError, OSError), match=r"noise\.png"):
        read_image(tmp_path / "noise.png", 8)
    paint(tmp_path / "half.png", (9, 9, 9), size=(300, 300))
    contents = (tmp_path / "half.png").read_bytes()
    (tmp_path / "half.png").write_bytes(contents[: len(contents) // 2])
    with pytest.raises((ValueError, OSError), match=r"half\.png"):
        read_image(tmp_path / "half.png", 8)
