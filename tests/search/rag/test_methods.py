"""Generation, and the methods of retrieval-augmented generation, on tiny models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

import etude
from etude.data.questions import Question, load_questions
from etude.errors import InputError
from etude.search.collection import Document
from etude.search.generator import Generation, Generator
from etude.search.rag import FusionInDecoder, InContextRALM, ReAct, SelfConsistency
from etude.search.rag.examples import causal, encoder_decoder, learned_positions
from etude.search.rag.thinking import conclusion

PROMPTS = ["w5 w6 w7 w8", "w9", "w3 w4 w5 w6 w7 w8 w9 w10"]


@pytest.mark.parametrize("make", [causal, learned_positions, encoder_decoder])
def test_batches_change_nothing(make: Any) -> None:
    generator = make()
    together = generator(PROMPTS, tokens=5)
    assert together == [generator([prompt], tokens=5)[0] for prompt in PROMPTS]
    assert [each.read for (each,) in together] == [len(generator.ids(prompt)) for prompt in PROMPTS]


def test_writes_what_transformers_does() -> None:
    generator = causal()
    ids = torch.tensor([generator.ids(PROMPTS[0])])
    config = GenerationConfig(max_new_tokens=6, eos_token_id=1, pad_token_id=1)
    expected = generator.model.generate(ids, generation_config=config)[0, ids.shape[1] :]
    ((found,),) = generator(PROMPTS[:1], tokens=6)
    assert found.text == generator.tokenizer.decode(expected, skip_special_tokens=True)


@pytest.mark.parametrize("make", [causal, learned_positions])
def test_samples_of_a_prompt_that_is_read_once_are_those_of_one_that_is_read_each_time(make: Any) -> None:
    generator = make()
    ids = torch.tensor([generator.ids(PROMPTS[2])])
    config = GenerationConfig(
        max_new_tokens=6, do_sample=True, temperature=0.9, top_k=0, eos_token_id=1, pad_token_id=1
    )
    torch.manual_seed(3)
    rows = generator.model.generate(ids.repeat(4, 1), generation_config=config)[:, ids.shape[1] :]
    torch.manual_seed(3)
    (found,) = generator(PROMPTS[2:], tokens=6, samples=4, temperature=0.9)
    assert [each.text for each in found] == generator.tokenizer.batch_decode(rows, skip_special_tokens=True)
    assert [each.read for each in found] == [len(ids[0]), 0, 0, 0]


def test_stops() -> None:
    generator = causal()
    ((whole,),) = generator(PROMPTS[:1], tokens=8)
    words = whole.text.split()
    stop = next(word for word in words[1:] if word != words[0])
    place = whole.text.find(stop, 1)
    ((found,), (other,)) = generator([PROMPTS[0], PROMPTS[2]], tokens=8, stops=[stop])
    assert found.text == whole.text[:place].strip()
    assert found.generated == len(whole.text[:place].split()) + 1
    assert other == generator([PROMPTS[2]], tokens=8, stops=[stop])[0][0]


def test_a_prompt_that_is_too_long_keeps_its_end() -> None:
    generator = causal()
    long = "w2 " * 200 + "w5 w6"
    ((found,),) = generator([long], tokens=6)
    assert found.read == 90
    with pytest.raises(InputError, match="tokens: 96 leave no room"):
        generator(["w2"], tokens=96)


def test_one_passage_fused_is_the_model_as_it_is() -> None:
    generator = encoder_decoder()
    passage = Document("a", "w9 w10", title="w3")
    (answer,) = FusionInDecoder(tokens=5).answer(generator, ["w5 w6"], [[passage]])
    ((plain,),) = generator(["question: w5 w6 title: w3 context: w9 w10"], tokens=5)
    assert (answer.text, answer.read) == (plain.text, plain.read)


def test_fused_passages_do_not_see_each_other_and_padding_counts_for_nothing() -> None:
    """With positions that do not matter to the decoder's cross-attention, their order does not either."""
    generator = encoder_decoder()
    passages = [Document("a", "w9 w10"), Document("b", "w11 " * 20), Document("c", "w12")]
    answers = [
        FusionInDecoder(tokens=5).answer(generator, ["w5 w6"], [order])[0]
        for order in (passages, passages[::-1])
    ]
    assert answers[0] == answers[1]
    assert answers[0].read == sum(
        len(generator.ids(f"question: w5 w6 title:  context: {each.text}")) for each in passages
    )
    fewer = FusionInDecoder(tokens=5, fused=1).answer(generator, ["w5 w6"], [passages])[0]
    assert fewer.read < answers[0].read


def test_fusion_needs_an_encoder() -> None:
    with pytest.raises(InputError, match="generator: has no encoder"):
        FusionInDecoder().answer(causal(), ["w5"], [[]])


def test_in_context_ralm_is_the_next_tokens_behind_passage_and_question() -> None:
    generator = Generator(*etude.models.load("nano-llama"))
    passage = Document("a", "He wrote Hamlet.", title="Shakespeare")
    (answer,) = InContextRALM(tokens=6).answer(generator, ["Who wrote it?"], [[passage, passage]])
    read = "Shakespeare\n\nHe wrote Hamlet."
    text = f"{read}\n\nBased on these texts, answer these questions:\nQ: Who wrote it?\nA:"
    assert answer.text == generator([text], tokens=6, stops=["\n"])[0][0].text


class Scripted(Generator):
    """A model that says what it was told to."""

    def __init__(self, *lines: str) -> None:
        base = causal()
        super().__init__(base.model, base.tokenizer)
        self.lines, self.prompts = [*lines], list[str]()

    def __call__(self, prompts: Sequence[str], **_: Any) -> list[list[Generation]]:
        self.prompts += prompts
        return [[Generation(self.lines.pop(0), 1, 1)] for _ in prompts]

    def room(self, tokens: int) -> int:
        return 10_000


def test_react_searches_for_the_words_that_the_model_asks_for() -> None:
    generator = Scripted("who is it\nAction: Search[king of England]", "I see\nFinal Answer: Harold\nmore")
    asked = []

    def search(words: str) -> list[Document]:
        asked.append(words)
        return [Document("a", "Harold was king."), Document("b", "Left out.")]

    (answer,) = ReAct(observed=1).answer(generator, ["Who died in 1066?"], [[]], search)
    assert (answer.text, asked) == ("Harold", ["king of England"])
    assert generator.prompts[1].endswith(
        "Thought: who is it\nAction: Search[king of England]\nObservation: Harold was king.\nThought:"
    )
    assert "Left out" not in generator.prompts[1]
    assert answer.generated == 2


def test_react_believes_no_observation_of_its_own_and_falls_back_on_what_it_knows() -> None:
    generator = Scripted("hm\nAction: Search[x] and then Final Answer: made up", "no idea", "Harold")
    (answer,) = ReAct(steps=2).answer(generator, ["Who?"], [[]], lambda words: [])
    assert answer.text == "Harold"
    assert len(answer.trace) == 3
    assert generator.prompts[-1] == "Answer the question in a few words.\nQuestion: Who?\nAnswer:"


def test_self_consistency_takes_the_majority() -> None:
    class Several(Scripted):
        def __call__(self, prompts: Sequence[str], *, samples: int = 1, **_: Any) -> list[list[Generation]]:
            return [[Generation(self.lines.pop(0), 1, 1) for _ in range(samples)] for _ in prompts]

    said = ["So.\nAnswer: 1067", "Hm.\nAnswer: The 1066.", "no", "The answer is 1066", "Answer: 1065"]
    (answer,) = SelfConsistency(samples=5).answer(Several(*said), ["When?"], [[]])
    assert answer.text == "The 1066."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Answer: 1066", "1066"),
        ("First.\nAnswer:\n1066", "1066"),
        ("the answer is: 1066", "1066"),
        ("1066", "1066"),
        ("", ""),
    ],
)
def test_conclusion(text: str, expected: str) -> None:
    assert conclusion(text) == expected


@pytest.fixture
def pre_retrieved(tmp_path: Path) -> Path:
    entries = [
        {
            "question": f"Who is number {number}",
            "answers": [f"name{number}"],
            "ctxs": [
                {"id": 7 * number, "title": "", "text": "nobody", "score": 2.0, "has_answer": False},
                {"id": 7 * number + 1, "title": "N", "text": f"Number {number}: name{number}.", "score": 1.0},
            ],
        }
        for number in range(4)
    ]
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(entries))
    return path


def test_runs_on_files_in_the_pre_retrieved_format(pre_retrieved: Path, tmp_path: Path) -> None:
    """With what came with the questions, and by a retriever over it; what is written is read again."""
    given: dict[str, Any] = {"model": "nano-llama", "questions": 0, "tokens": 4}
    record = etude.run("basic-rag", data=str(pre_retrieved), retriever="", out=tmp_path / "out", **given)
    assert (record.metrics["top_1"], record.metrics["top_5"]) == (0.0, 1.0)
    written = json.loads((tmp_path / "out" / "questions.json").read_text())
    assert [each["query_id"] for each in written] == ["0", "1", "2", "3"]
    assert [[c["has_answer"] for c in each["ctxs"]] for each in written] == [[False, True]] * 4
    assert [c["score"] for c in written[0]["ctxs"]] == [2.0, 1.0]
    again = etude.run("basic-rag", data=str(tmp_path / "out" / "questions.json"), retriever="", **given)
    assert again.metrics["f1"] == record.metrics["f1"]
    found = etude.run("react-rag", data=str(pre_retrieved), depth=5, steps=1, **given)
    assert (found.metrics["top_5"], found.metrics.get("top_20")) == (1.0, None)


def test_what_rankify_writes_is_read(tmp_path: Path) -> None:
    """Files of ``save_dataset``: with texts or without; an answer as a text; no contexts."""
    context = {"score": 1.5, "has_answer": True, "id": 12}
    given = [
        {"question": "Who?", "answers": "He", "ctxs": [context], "reranked_ctxs": [context]},
        {"question": "When?", "answers": ["1066", 1067], "query_id": "q9", "ctxs": []},
        {"question": "Where?", "answers": [], "answer": "There"},
    ]
    path, table = tmp_path / "questions.json", tmp_path / "psgs.tsv"
    path.write_text(json.dumps(given[:2]))
    table.write_text('id\ttext\ttitle\n12\t"He ""came""."\tA tale\n')
    with pytest.raises(InputError, match=r"passages: .*'12' has no text, and no table gives it one"):
        load_questions(path)
    first, second = load_questions(path, table).questions
    assert first == Question("0", "Who?", ("He",), (Document("12", 'He "came".', "A tale"),))
    assert second == Question("q9", "When?", ("1066", "1067"))
    path.write_text(json.dumps([{**given[0], "ctxs": [context | {"text": None, "title": None}]}]))
    assert load_questions(path, table).questions[0] == first
    path.write_text(json.dumps(given[2:]))
    with pytest.raises(InputError, match=r"data: .*entry 1: no texts in the field 'answers'"):
        load_questions(path)


def test_what_a_set_cannot_give_is_told_before_any_work(pre_retrieved: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"question": "Who?", "answer": "He"}\n')
    for method, data, values, said in [
        ("basic-rag", bare, {}, "data: .* has no passages"),
        ("react-rag", pre_retrieved, {"retriever": ""}, "retriever: react-rag searches by itself"),
        ("basic-rag", pre_retrieved, {"retriever": "nothing"}, "retriever: unknown 'nothing'"),
        ("basic-rag", pre_retrieved, {"reranker": "nothing"}, "reranker: unknown 'nothing'"),
        ("basic-rag", pre_retrieved, {"questions": 5}, "questions: 5 are more than the 4"),
    ]:
        with pytest.raises(InputError, match=said):
            etude.run(method, data=str(data), model="nano-llama", **({"questions": 1} | values))
