"""Where real data comes from: a text file read as bytes, or a folder of images. Loads without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

SHIPPED = Path(__file__).parents[1] / "data" / "public_domain.txt"
TEXT_LIMIT_BYTES = 256 << 20
IMAGE_LIMIT = 100_000
"""Images of one folder; more than these is an error, not a silent part of them."""
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Channel statistics of ImageNet, by which image models usually normalise."""


def resolve_data(data: str) -> Path:
    """Return the file or folder that `data` names; `shipped` is the text that comes with the package.

    Raises:
        ValueError: nothing is there.
    """
    path = SHIPPED if data == "shipped" else Path(data).expanduser()
    if not data or not path.exists():
        raise ValueError(f"data {path}: no such file or folder")
    return path


def kind(path: Path) -> str:
    """Return what `path` holds, in the words of `WorkloadSpec.data`: a folder `images`, a file `text`."""
    return "images" if path.is_dir() else "text"


def digest(path: Path) -> str:
    """Return the sha256 that identifies data: of a file's contents, of a folder's image names and sizes.

    Raises:
        ValueError: empty, too large, or a folder without images.
        OSError: it cannot be read.
    """
    if not path.is_dir():
        return hashlib.sha256(_contents(path)).hexdigest()
    names = (f"{p.relative_to(path).as_posix()}\0{p.stat().st_size}\n" for p in image_files(path))
    return hashlib.sha256("".join(names).encode()).hexdigest()


def _contents(path: Path) -> bytes:
    size = path.stat().st_size
    if size > TEXT_LIMIT_BYTES:
        raise ValueError(f"data {path}: {size} bytes, more than the limit of {TEXT_LIMIT_BYTES}")
    contents = path.read_bytes()
    if not contents:
        raise ValueError(f"data {path}: empty file")
    return contents


def read_text(path: Path, at_least: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a file's bytes, each one a token of 0 to 255.

    Raises:
        ValueError: empty, too large, or shorter than `at_least` bytes.
        OSError: it cannot be read.
    """
    import numpy as np

    contents = _contents(path)
    if len(contents) < at_least:
        raise ValueError(f"data {path}: {len(contents)} bytes, but these sizes need at least {at_least}")
    return np.frombuffer(contents, dtype=np.uint8)


def image_files(folder: Path) -> list[Path]:
    """Return the image files of a folder and of its direct sub-folders, sorted.

    Raises:
        ValueError: not a folder, no image in it, or more than the limit.
        OSError: it cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"data {folder}: not a folder of images")
    found: list[Path] = []
    for pattern in ("*", "*/*"):
        for path in folder.glob(pattern):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                found.append(path)
                if len(found) > IMAGE_LIMIT:
                    raise ValueError(f"data {folder}: more than {IMAGE_LIMIT} images")
    if not found:
        raise ValueError(f"data {folder}: no image in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return sorted(found)


def image_classes(folder: Path, files: list[Path], classes: int) -> list[int]:
    """Return each image's class: its sub-folder's place in the alphabet, or its name's hash without one."""
    parents = sorted({f.parent for f in files if f.parent != folder})
    places = {parent: place for place, parent in enumerate(parents)}
    return [places.get(file.parent, _hash(file.name)) % classes for file in files]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])


def read_image(path: Path, side: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return an image as (3, side, side): shorter edge resized, centre cropped, normalised by MEAN and STD.

    Raises:
        ValueError: not an image, damaged, or too large to decode safely; or Pillow is not installed.
        OSError: it cannot be read.
    """
    import numpy as np

    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise ValueError(f"data {path}: images need Pillow (pip install 'joulemark[images]')") from error
    try:
        with Image.open(path) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError(f"data {path}: not a readable image ({error})") from error
    except OSError as error:
        raise OSError(f"data {path}: {error}") from error
    pixels = np.asarray(fitted, dtype=np.float32) / 255.0
    normalised = (pixels - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))
