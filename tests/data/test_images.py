"""Labelled images: read from folders and zips, refused where they are none."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from etude.data import images
from etude.errors import InputError


def picture(shade: int, size: int = 4, mode: str = "RGB") -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), shade, np.uint8)).convert(mode).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A train folder and a test zip of two classes."""
    for name, shade in (("cat/1.png", 10), ("cat/2.png", 20), ("ant/1.png", 30)):
        path = tmp_path / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(shade))
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    with zipfile.ZipFile(tmp_path / "val.zip", "w") as archive:
        archive.writestr("cat/1.png", picture(40, size=8))
        archive.writestr("ant/1.png", picture(50, mode="L"))
    return tmp_path


def test_classes_are_folders_in_their_order(folder: Path) -> None:
    train = images.load(folder, "train", side=4)
    assert train.classes == ("ant", "cat") and train.labels.tolist() == [0, 1, 1]
    assert train.pixels.dtype == torch.uint8 and train.pixels[:, 0, 0, 0].tolist() == [30, 10, 20]


def test_a_zip_is_read_resized_and_made_rgb(folder: Path) -> None:
    test = images.load(folder, "test", side=4)
    assert test.pixels.shape == (2, 3, 4, 4) and test.pixels[:, 2, 3, 3].tolist() == [50, 40]


def test_fingerprint_is_that_of_the_content(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = images.fingerprint(folder)
    moved = folder.rename(tmp_path_factory.mktemp("elsewhere") / "moved")
    assert images.fingerprint(moved) == before
    (moved / "train" / "cat" / "2.png").write_bytes(picture(21))
    assert images.fingerprint(moved) != before


def test_what_is_no_set_of_images_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str | Path, part: images.Part = "train") -> str:
        with pytest.raises(InputError) as caught:
            images.load(name, part, side=4)
        assert caught.value.field == "data"
        return caught.value.message

    monkeypatch.setenv("ETUDE_DATA", str(folder))
    monkeypatch.setenv("ETUDE_CACHE", str(folder / "cache"))
    assert "did you mean cifar10_subset" in refused("cifar10_subsets")
    assert "train.zip, test.zip" in refused("cifar10_subset")
    assert "no folder" in refused("./nowhere")
    (folder / "train" / "cat" / "1.png").write_bytes(b"no picture")
    assert "cat/1.png cannot be read as an image" in refused(folder)
    (folder / "val.zip").write_bytes(b"no zip")
    assert "cannot be read as a zip" in refused(folder, "test")
    (folder / "val.zip").unlink()
    assert "neither a folder test nor a test.zip" in refused(folder, "test")
    (folder / "test").mkdir()
    assert "no images" in refused(folder, "test")


def test_a_part_has_a_known_name(folder: Path) -> None:
    with pytest.raises(InputError, match="part"):
        images.load(folder, "rest", side=4)  # type: ignore[arg-type]
