"""The task from its inputs to its figures and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from etude import models
from etude.compress.quantize import FullPrecision, Gptq, LlmFp4, Rtn
from etude.compress.quantize.task import TASK, Inputs
from etude.errors import InputError

SMALL = {"model": "nano-llama", "data": "novels", "samples": 4, "length": 64, "segments": 8}


def test_a_run_from_inputs_to_files(tmp_path: Path) -> None:
    case = TASK.open(Inputs(**SMALL, format="compressed-tensors"))
    method = Gptq(bits=4, group=64, symmetric=True)
    case.check(method)
    trial, plain = case.trial(0), case.trial(0)
    trial.apply(method)
    plain.apply(FullPrecision())
    ours, dense = trial.score(), plain.score()
    of_others = {"pseudo_perplexity", "accuracy"}
    assert ours.keys() == dense.keys() == {metric.name for metric in TASK.metrics} - of_others
    assert (ours["bits_per_weight"], dense["bits_per_weight"]) == (4.25, 32.0)
    assert dense["perplexity"] < ours["perplexity"] < 1.2 * dense["perplexity"]
    assert ours["size_mb"] < 0.4 * dense["size_mb"]
    trial.save(tmp_path / "packed")
    size = (tmp_path / "packed" / "model.safetensors").stat().st_size / 1e6
    assert size == pytest.approx(ours["size_mb"], rel=0.03)
    config = json.loads((tmp_path / "packed" / "config.json").read_text())
    assert config["quantization_config"]["format"] == "pack-quantized"
    plain.save(tmp_path / "plain")  # nothing is packed, so it is dense
    assert models.load(tmp_path / "plain")[0].num_parameters() == case.subject.model.num_parameters()


def test_what_does_not_fit_is_refused_before_any_work() -> None:
    case = TASK.open(Inputs(**SMALL, format="compressed-tensors"))
    for field, method in (("group", Rtn(group=96)), ("format", Rtn(numbers="e2m1", group=64))):
        with pytest.raises(InputError) as error:
            case.check(method)
        assert error.value.field == field
    for field, value in (("length", 1000), ("data", "no-such-text"), ("model", "nano-lama")):
        with pytest.raises(InputError) as error:
            TASK.open(Inputs(**(SMALL | {field: value})))
        assert error.value.field == field


def noise(folder: Path) -> str:
    """A folder of images of noise, two for each class of nano-vit in either part."""
    from PIL import Image

    draw = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in models.load("nano-vit")[0].config.id2label.values():
            (folder / part / name).mkdir(parents=True)
            for number in range(2):
                image = Image.fromarray(draw.integers(256, size=(32, 32, 3), dtype=np.uint8))
                image.save(folder / part / name / f"{number}.png")
    return str(folder)


@pytest.mark.parametrize(
    ("model", "quality", "file"),
    [
        ("nano-bert", "pseudo_perplexity", "tokenizer.json"),
        ("nano-vit", "accuracy", "preprocessor_config.json"),
    ],
)
def test_encoders_too(model: str, quality: str, file: str, tmp_path: Path) -> None:
    inputs = {"model": model} | ({"data": noise(tmp_path / "noise")} if model == "nano-vit" else {})
    case = TASK.open(Inputs(**SMALL | inputs))
    figures = {}
    for method in (
        FullPrecision(),
        Rtn(group="channel"),
        LlmFp4(rounds=1, stride=64, judged=32, products="e2m1"),
    ):
        case.check(method)
        trial = case.trial(0)
        trial.apply(method)
        figures[method.name] = trial.score()
        assert quality in figures[method.name] and "tokens_per_s" not in figures[method.name]
    assert figures["rtn"]["size_mb"] < 0.6 * figures["full-precision"]["size_mb"]
    assert figures["llm-fp4"][quality] != figures["rtn"][quality] or quality == "accuracy"
    trial.save(tmp_path / "model")
    assert (tmp_path / "model" / file).is_file()
    again = TASK.open(Inputs(**SMALL | inputs | {"model": str(tmp_path / "model")}))
    quality_again = again.subject.quality(again.subject.model, again.evaluation)
    assert quality_again[quality] == pytest.approx(figures["llm-fp4"][quality], rel=1e-6)


def test_encoders_are_given_what_they_take() -> None:
    with pytest.raises(InputError, match="data"):
        TASK.open(Inputs(model="nano-vit"))  # novels are no images
    masked = TASK.open(Inputs(**SMALL | {"model": "nano-bert"}))
    ids, words = masked.subject.calibration("novels", seed=0)["input_ids"], masked.subject.tokenizer
    assert ids.shape == (4, 64)
    assert set(ids[:, 0].tolist()) == {words.cls_token_id} and set(ids[:, -1].tolist()) == {
        words.sep_token_id
    }
