"""Attribution from inputs to files: prompts, the run, what is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

import etude
from etude.errors import InputError
from etude.explain.attribution import AttentionLast, Attribution, explain
from etude.explain.attribution.attribution import load
from etude.explain.attribution.prompts import from_cues, from_file
from etude.explain.attribution.recall import prompts as recall_prompts
from etude.explain.attribution.showing import html
from etude.explain.attribution.task import TASK, Inputs


def test_a_run_on_the_users_text(tmp_path: Path) -> None:
    record = etude.run("reagent", text="The night was dark and", steps=5, draws=2, out=tmp_path / "out")
    assert record.metrics["forwards"] <= 1 + 3 + 5 * 6
    found = load(tmp_path / "out" / "attributions.json")
    assert "".join(found[0].tokens) == "The night was dark and"
    assert "<span" in (tmp_path / "out" / "attributions.html").read_text()


def test_a_comparison_on_the_users_prompts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    rows = [
        {"text": "Anna came in. Then Anna", "target": " went", "cue": "came"},
        {"text": "He said that he"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = etude.compare(
        ["attention-rollout"], data=str(path), draws=2, seeds=1, jobs=1, baselines=False, keep="none"
    )
    assert found.records[0].status == "done"
    assert 1 <= found.records[0].metrics["cue_rank"] <= 9


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 1: not JSON"),
        ('{"prompt": "a"}', "line 1: give text"),
        ('{"text": "a b", "cue": "c"}', "the cue 'c' is not in the text"),
        ('{"text": "a b", "target": 3}', "target is not text"),
        ("", "holds no prompts"),
    ],
)
def test_malformed_prompts_are_refused(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(row)
    with pytest.raises(InputError, match=message):
        from_file(path, etude.models.load("nano-llama")[1])


def test_the_recall_model_and_its_prompts_go_together() -> None:
    with pytest.raises(InputError, match=r"^data:"):
        TASK.open(Inputs(data="recall"))


def test_cues_are_where_they_are_said_to_be() -> None:
    tokenizer = etude.models.load("nano-llama")[1]
    for prompt in from_cues(tokenizer, 10, seed=1):
        cue = tokenizer.decode(prompt.ids[list(prompt.cue)])
        assert cue.strip() and tokenizer.decode([prompt.target]).strip()[0] in cue


def test_recall_prompts_hold_their_answer_once_behind_their_key() -> None:
    for prompt in recall_prompts(20, seed=4):
        (place,) = prompt.cue
        assert prompt.ids[place] == prompt.target and prompt.ids[place - 1] == prompt.ids[-1]
        assert (prompt.ids[:-1] == prompt.ids[-1]).sum() == 1


def test_the_map_of_a_continuation_is_lower_triangular() -> None:
    model, tokenizer = etude.models.load("nano-llama")
    found = explain(AttentionLast(), model, tokenizer, "It was a", continuation=" dark night")
    rows, first = found.map, len(found.steps[0].scores)
    assert found.steps[0].target == " dark"
    for number, row in enumerate(rows):
        assert all(score == 0 for score in row[first + number :])
        assert sum(row) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "continuation", "field"), [("", 1, "text"), ("a", 0, "continuation"), ("a", "", "continuation")]
)
def test_nothing_to_explain_is_refused(text: str, continuation: str | int, field: str) -> None:
    model, tokenizer = etude.models.load("nano-llama")
    with pytest.raises(InputError, match=f"^{field}:"):
        explain(AttentionLast(), model, tokenizer, text, continuation)


def test_what_is_shown_is_safe_and_says_what_it_cost() -> None:
    made = Attribution(
        tokens=("<b>", "x\n"), target="&", target_id=1, scores=(0.9, 0.1), forwards=7, finished=0.0
    )
    page = html([made])
    assert "&lt;b&gt;" in page and "<b>" not in page and "x⏎" in page and "&amp;" in page
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(made)
    text = console.export_text()
    assert "7 forward passes" in text and "no probe met the stopping rule" in text


@pytest.mark.slow
def test_the_recall_model_answers() -> None:
    from etude.explain.attribution import recall

    model, _ = recall.load()
    prompts = recall.prompts(50, seed=9)
    with torch.no_grad():
        said = model(input_ids=torch.stack([prompt.ids for prompt in prompts])).logits[:, -1].argmax(1)
    assert said.tolist() == [prompt.target for prompt in prompts]
