"""Rankify's check: the menu, a perfect reranker, measures as pytrec_eval has them, errors that are told."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from etude import catalog
from etude.errors import InputError
from etude.search.collection import Document
from etude.search.measures import measure
from etude.search.rerank.reranking import Asked, Ranking, Reranker, rerank
from etude.search.runs import read_run, write_run

PAGE = Path(__file__).parents[3] / "docs" / "search" / "rankify.md"
MENU = {
    "retrieve": (
        "bm25 dpr-multi dpr-single bpr-single ance-multi bge colbert contriever hyde online diver-dense "
        "diver-bm25 reasonir reason-embed bge-reasoner-embed unicoil unicoil-noexp splade-v2 "
        "openai-embedding cohere-embedding voyage-embedding hybrid-rrf hybrid-weighted hybrid-interleave"
    ),
    "rerank": (
        "upr rankgpt-api rankgpt flashrank monot5 rankt5 listt5 inranker apiranker transformer_ranker "
        "llm_layerwise_ranker first_ranker lit5dist lit5score vicuna_reranker zephyr_reranker "
        "blender_reranker splade_reranker sentence_transformer_reranker colbert_ranker monobert llm2vec "
        "twolar echorank duot5 rankllama dear_reranker incontext_reranker prp prp-api tart rankgemma "
        "rankmistral"
    ),
    "rag": ("zero-shot basic-rag chain-of-thought-rag self-consistency-rag react-rag in-context-ralm fid"),
}
"""Names in the registries of its head of April 2026; the three of its hybrid retriever have names of ours."""


def rows() -> dict[str, tuple[str, str]]:
    """Of the page's tables: theirs to ours and the remark."""
    found = re.findall(
        r"^\| `([^`|]+)` \| (.+?) \| (.*?) ?\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {theirs: (ours, remark) for theirs, ours, remark in found}


@pytest.mark.parametrize("task", MENU)
def test_every_row_of_the_menu_is_a_class_or_has_a_reason(task: str) -> None:
    table = rows()
    for name in MENU[task].split():
        ours, remark = table[name]
        if ours == "–":
            assert len(remark) > 20, f"{name}: no reason is given"
        else:
            assert catalog.method(ours.strip("`"), task)().task == task


@pytest.mark.parametrize("task", MENU)
def test_its_names_lead_to_ours(task: str) -> None:
    """As the table has them; with two that its README has and its registry has not."""
    card, table = catalog.paper("rankify"), rows()
    mapped = {name: table[name][0].strip("`") for name in MENU[task].split() if table[name][0] != "–"}
    for name, ours in mapped.items():
        if name != ours and not name.startswith("hybrid-"):  # its hybrid retriever has no names of its own
            assert card.aliases[name].rpartition("/")[2] == ours
            assert catalog.method(card.aliases[name], task).name == ours


def test_the_names_in_its_readme_lead_to_ours() -> None:
    others = {*catalog.paper("rankify").aliases} - set(" ".join(MENU.values()).split())
    assert others == {"dpr", "ance"}


def test_who_asks_for_their_name_is_told_ours() -> None:
    said = "unknown 'colbert_ranker'; what Rankify calls so is 'maxsim' here"
    for ask in (catalog.method, catalog.tasks_of):
        with pytest.raises(InputError, match=said):
            ask("colbert_ranker")
    with pytest.raises(InputError, match="did you mean maxsim"):
        catalog.method("maxsin")
    assert "maxsim" in [name for name, _ in catalog.search("colbert_ranker")]
    assert "retrieval-pretraining" in [name for name, _ in catalog.search("dpr-multi")]


class Perfect:
    """An engine that knows the judgements."""

    name = "perfect"
    fingerprint = ""

    def __init__(self, grades: dict[str, int]) -> None:
        self.grades = grades

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        return [Ranking([self.grades.get(document.id, 0) for document in found]) for _, found in asked]

    def save(self, folder: Path) -> None:
        pass


@pytest.mark.parametrize("count", [1, 5, 19, 20, 21, 37, 100])
def test_a_perfect_reranker_is_perfect_whatever_the_length(count: int) -> None:
    rng = random.Random(count)
    grades = {f"d{n}": rng.randint(0, 3) for n in range(count)} | {"d0": 1}
    documents = {name: Document(name, "text") for name in grades}
    first = {name: -float(place) for place, name in enumerate(grades)}
    perfect = Perfect(grades)
    run, _ = rerank(Reranker(perfect, perfect), {"q": "?"}, documents, {"q": first}, count)
    assert sorted(run["q"]) == sorted(grades)
    assert measure(run, {"q": grades}, ["nDCG@10", "nDCG", "RR"]) == pytest.approx(
        {"nDCG@10": 1.0, "nDCG": 1.0, "RR": 1.0}
    )


def drawn(seed: int) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
    """A run with ties, and judgements of some of it and of more."""
    rng = random.Random(seed)
    names = [f"d{n}" for n in range(60)]
    run, qrels = {}, {}
    for query in ("q1", "q2", "q3"):
        found = rng.sample(names, 40)
        scores = sorted((float(rng.randint(0, 20)) for _ in found), reverse=True)
        run[query] = dict(zip(found, scores, strict=True))
        qrels[query] = {name: rng.randint(0, 3) for name in rng.sample(names, 25)} | {found[9]: 2}
    return run, qrels


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_measures_are_those_of_pytrec_eval(seed: int, tmp_path: Path) -> None:
    """On the same order; ties are broken as the run stands, also after a trip through a file."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    run, qrels = drawn(seed)
    write_run(tmp_path / "run.trec", run)
    again = read_run(tmp_path / "run.trec")
    assert {query: [*ranking] for query, ranking in again.items()} == {q: [*r] for q, r in run.items()}
    names = {"nDCG@10": "ndcg_cut_10", "R@20": "recall_20", "RR": "recip_rank", "AP": "map", "P@5": "P_5"}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {*names.values()}).evaluate(again)
    found = measure(run, qrels, names)
    for ours, name in names.items():
        mean = sum(each[name] for each in theirs.values()) / len(theirs)
        assert found[ours] == pytest.approx(mean, abs=1e-6)


def test_reciprocal_rank_heeds_its_cut() -> None:
    run = {"q": {f"d{n}": -float(n) for n in range(20)}}
    assert measure(run, {"q": {"d11": 1}}, ["RR@10", "RR"]) == {"RR@10": 0.0, "RR": pytest.approx(1 / 12)}


def test_a_measure_that_cannot_be_computed_is_an_error() -> None:
    for names, qrels, said in [(["nDGC@10"], {"q": {"d": 1}}, "measures"), (["RR"], {}, "qrels")]:
        with pytest.raises(InputError, match=said):
            measure({"q": {"d": 1.0}}, qrels, names)
