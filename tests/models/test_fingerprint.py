"""Equal content, equal fingerprint; anything that changes what a model computes changes it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.models import zoo

from etude.errors import InputError
from etude.models import save
from etude.models.fingerprint import file_digest, fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(zoo.llama(), zoo.byte_tokenizer(), tmp_path / "model")
    return tmp_path / "model"


def test_a_copy_elsewhere_has_the_same(folder: Path) -> None:
    shutil.copytree(folder, folder.parent / "copy")
    (folder.parent / "copy" / "README.md").write_text("unrelated")
    assert fingerprint(folder) == fingerprint(str(folder.parent / "copy"))


def test_weights_configuration_tokenizer_and_widths_count(folder: Path) -> None:
    seen = {fingerprint(folder)}
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    seen.add(fingerprint(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    seen.add(fingerprint(folder))
    tokenizer = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(tokenizer + " ")
    seen.add(fingerprint(folder))
    (folder / "etude.json").write_text("{}")
    seen.add(fingerprint(folder))
    assert len(seen) == 5


def test_a_large_file_is_read_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(2_000_000))
    old = path.stat().st_mtime - 100
    os.utime(path, (old, old))
    first = file_digest(path)
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read again"))
        assert file_digest(path) == first
    path.write_bytes(bytes(1_999_999) + b"1")  # the same size
    os.utime(path, (old, old + 1))
    assert file_digest(path) != first


def test_what_is_no_model_has_none(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="model: "):
        fingerprint(tmp_path / "nowhere")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"model: .*damaged"):
        fingerprint(folder)
