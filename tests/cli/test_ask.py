from __future__ import annotations

from pathlib import Path

import pytest

from etude.search.answer import snippet


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in {
        "wing": "A wing lifts.",
        "tail": "A tail keeps it steady.",
        "bank": "Banks lend.",
    }.items():
        (folder / f"{name}.md").write_text(f"# Of {name}s\n\n{text}\n")
    return folder


@pytest.fixture
def index(etude, documents: Path, tmp_path: Path) -> str:
    answer = etude("index", str(documents), "--out", str(tmp_path / "index"), "--k1", "1.2")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"{tmp_path / 'index'}: 3 documents, bm25, 1 segment(s)")
    return str(tmp_path / "index")


def test_a_question_finds_documents(etude, index: str) -> None:
    answer = etude("ask", index, "what lifts wings", "-k", "2", "--json")
    assert [document["id"] for document in answer.json["documents"]] == ["wing.md"]
    assert answer.json["documents"][0] | {"score": 0} == {
        "rank": 1,
        "id": "wing.md",
        "score": 0,
        "title": "Of wings",
        "text": "A wing lifts.",
    }
    shown = etude("ask", index, "steady tails")
    assert "Of tails  [tail.md]" in shown.out and "A tail keeps it steady." in shown.out
    assert "Nothing was found." in etude("ask", index, "elephants").out


def test_a_reranker_is_used(etude, index: str) -> None:
    answer = etude("ask", index, "wings or tails", "--rerank", "first-stage", "--json")
    assert len(answer.json["documents"]) == 2
    assert answer.json["reranking"] == {"read": 0, "generated": 0, "passes": 0}


def test_an_index_is_changed(etude, index: str, documents: Path) -> None:
    (documents / "new.txt").write_text("A rudder steers.")
    added = etude("index", str(documents / "new.txt"), "--out", index, "--add", "--json")
    assert (added.json["documents"], added.json["segments"]) == (4, 2)
    deleted = etude("index", "--out", index, "--delete", "wing.md", "--delete", "tail.md", "--json")
    assert deleted.json["documents"] == 2
    assert etude("ask", index, "wing rudder", "--json").json["documents"][0]["id"] == "new.txt"


def test_an_index_that_is_there_is_not_overwritten(etude, index: str, documents: Path) -> None:
    answer = etude("index", str(documents), "--out", index)
    assert answer.code == 2 and "is there already; --add adds" in answer.err
    assert len(etude("ask", index, "wing", "--json").json["documents"]) == 1
    left = {path.name for path in Path(index).parent.iterdir()}
    assert left == {"documents", "index"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("index", "none", "--out", "{new}"), "corpus: there is no file or folder none"),
        (("index", "--out", "{new}"), "corpus: is missing"),
        (("index", "{documents}", "--out", "{new}", "--method", "flap"), "method: flap is a method of prune"),
        (("index", "{documents}", "--out", "{new}", "--b", "2"), "b: 2.0 is not in [0, 1]"),
        (("index", "{documents}", "--out", "{new}", "--add"), "index: "),
        (
            ("index", "{documents}", "--out", "{index}", "--add"),
            "corpus: the document 'bank.md' is there already",
        ),
        (("index", "--out", "{index}", "--delete", "none"), "ids: 'none' is not in the index"),
        (("ask", "{documents}", "wing"), "index: "),
        (("ask", "{index}", "wing", "--k", "0"), "k: 0 is not >= 1"),
        (("ask", "{index}", "wing", "--rerank", "wanda"), "rerank: wanda is a method of prune"),
        (
            ("ask", "{index}", "wing", "--rerank", "bi-encode"),
            "rerank: unknown 'bi-encode'; did you mean bi-encoder",
        ),
        (("ask", "{index}", "wing", "--rerank", "./none"), "rerank: ./none holds no reranker"),
        (("ask", "{index}", "wing", "--rerank", "idcm"), "rerank: idcm must learn first"),
    ],
)
def test_what_is_wrong_is_named(
    etude, index: str, documents: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    places = {"new": tmp_path / "new", "documents": documents, "index": index}
    answer = etude(*(word.format(**places) for word in words))
    assert answer.code == 2
    assert answer.err.startswith(f"InputError: {said}")
    assert not (tmp_path / "new").exists()


def test_a_snippet_is_where_the_question_is() -> None:
    text = " ".join(["before"] * 50 + ["the", "lift", "of", "wings"] + ["after"] * 50)
    assert "lift of wings" in snippet(text, "how do wings lift?")
    assert snippet("a short text", "nothing of it") == "a short text"
    assert snippet("", "a question") == ""
