"""Corpora from files of every kind, and what is wrong with files said with file and line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etude.data.contexts import read_contexts
from etude.data.corpora import read_corpus
from etude.data.documents import Document
from etude.errors import InputError

TREC = """
<DOC>
<DOCNO> FT-1 </DOCNO>
<HEADLINE>Wings &amp; tails</HEADLINE>
<TEXT>
<P>A wing lifts.</P>
A tail steadies.
</TEXT>
</DOC>
<DOC><DOCNO>FT-2</DOCNO><TEXT>Heat flows.</TEXT></DOC>
"""
FOUND = [
    {
        "question": "what lifts?",
        "answers": ["a wing"],
        "ctxs": [
            {"id": "7", "title": "Wings", "text": "A wing lifts.", "score": "2.5", "has_answer": True},
            {"id": "8", "text": "A tail.", "score": 1.0, "has_answer": False},
        ],
    },
    {"question": "what steadies?", "answers": [], "ctxs": [{"id": "8", "text": "A tail."}]},
]


def write_pdf(path: Path, *pages: str) -> None:
    """A PDF by hand: a catalogue, a font, and for each page its words."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, page in enumerate(pages):
        resources = "/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 600 800]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {resources} /Contents {5 + 2 * number} 0 R >>")
        drawn = f"BT /F1 12 Tf 72 700 Td ({page}) Tj ET"
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    content, places = "%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(content))
        content += f"{number} 0 obj\n{each}\nendobj\n"
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}"
    end = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(content)}\n%%EOF"
    path.write_text(content + table + end)


def test_a_folder_of_everything_is_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "a.txt").write_text("Plain text.\r\nOf two lines.\n")
    (tmp_path / "below" / "b.md").write_text("## Of wings ##\nA wing lifts.\n# Another\nmore")
    (tmp_path / "c.html").write_text(
        "<html><head><title>A page</title><style>p {}</style></head>"
        "<body><script>x()</script><p>Seen <b>text</b> &amp; more</p></body></html>"
    )
    write_pdf(tmp_path / "d.pdf", "The first page", "", "The third page")
    (tmp_path / "e.jsonl").write_text('{"_id": "e1", "title": "T", "text": "one"}\n\n{"contents": "two"}\n')
    (tmp_path / "f.csv").write_text('id,text\n7,"a, b"\n')
    with gzip.open(tmp_path / "g.tsv.gz", "wt") as file:
        file.write("docid\ttext\ttitle\nx\tpacked\tT\n")
    pq.write_table(pa.table({"id": [1, 2], "text": ["p", "q"], "title": [None, "Q"]}), tmp_path / "h.parquet")
    (tmp_path / "i.trec").write_text(TREC)
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / ".hidden.txt").write_text("not read")
    corpus = read_corpus(tmp_path)
    expected = [
        Document("a.txt", "Plain text.\nOf two lines."),
        Document("below/b.md", "A wing lifts.\n# Another\nmore", "Of wings"),
        Document("c.html", "Seen text & more", "A page"),
        Document("d.pdf#page=1", "The first page"),
        Document("d.pdf#page=3", "The third page"),
        Document("e1", "one", "T"),
        Document("e.jsonl:2", "two"),
        Document("7", "a, b"),
        Document("x", "packed", "T"),
        Document("1", "p"),
        Document("2", "q", "Q"),
        Document("FT-1", "A wing lifts. A tail steadies.", "Wings & tails"),
        Document("FT-2", "Heat flows."),
    ]
    assert list(corpus) == expected
    assert list(corpus) == expected, "a corpus can be gone through again"


def test_fields_are_named_behind_a_colon(tmp_path: Path) -> None:
    path = tmp_path / "papers.jsonl"
    path.write_text('{"id": 1, "title": "T", "abstract": "A"}\n')
    assert list(read_corpus(f"{path}:title+abstract")) == [Document("1", "T\nA")]
    with pytest.raises(InputError, match=r"papers\.jsonl, line 1: no text in the field 'text'"):
        list(read_corpus(path))
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match="has no fields"):
        list(read_corpus(f"{tmp_path / 'a.txt'}:title"))


def test_of_a_collection_the_corpus_alone_is_read(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "t"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "no document"}\n')
    assert list(read_corpus(tmp_path)) == [Document("d", "t")]


def test_what_was_found_beforehand(tmp_path: Path) -> None:
    path = tmp_path / "nq.json"
    path.write_text(json.dumps(FOUND))
    first, second = read_contexts(path)
    assert (first.id, first.question, first.answers, first.scores) == (
        "0",
        "what lifts?",
        ("a wing",),
        (2.5, 1.0),
    )
    assert second.scores == (0.0,)
    assert [document.id for document in read_corpus(path)] == ["7", "8"]
    lines = tmp_path / "nq.jsonl"
    lines.write_text("\n".join(map(json.dumps, FOUND)))
    assert read_contexts(lines) == [first, second]
    path.write_text(json.dumps([{"question": "q", "answers": [], "ctxs": [{"id": 3, "score": 1}]}]))
    assert read_contexts(path)[0].documents == (Document("3", ""),)
    with pytest.raises(InputError, match="question 0: a context without a text"):
        list(read_corpus(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1: not JSON"),
        ("{}", "not a list of questions"),
        ('[{"question": 1}]', "question 0: no text in the field 'question'"),
        ('[{"question": "q", "answers": "a"}]', "question 0: the field 'answers'"),
        ('[{"question": "q", "ctxs": [{"text": "t"}]}]', "question 0, context 0: no identifier"),
        ('[{"question": "q", "ctxs": [{"id": 1, "text": "t", "score": "high"}]}]', "'high' is not a number"),
        ('[{"question": "q", "ctxs": [{"id": 1}, {"id": "1"}]}]', "question 0: a context stands twice"),
    ],
)
def test_malformed_contexts(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "nq.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_contexts(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.trec", "<DOC>\n<TEXT>x</TEXT>\n</DOC>", "line 1: a <DOC> without <DOCNO>"),
        ("a.trec", "\n<DOC>\n<DOCNO>1</DOCNO>", "line 2: a <DOC> that does not end"),
        ("a.trec", "<DOC>\n<DOCNO>1</DOCNO>\n<DOC>", "line 3: a <DOC> in the one that began"),
        ("a.trec", "text\n", "line 1: text outside of a <DOC>"),
        ("a.pdf", "no PDF", "cannot be read as a PDF"),
        ("a.jsonl", '{"id": {}, "text": "t"}', "line 1: the identifier"),
        ("a.jsonl", '{"id": 1, "text": 7}', "line 1: no text in the field 'text'"),
        ("a.jsonl", '{"id": 1', "line 1: not JSON"),
        ("a.csv", "id,text\n1,a,b\n", "line 2: not as many columns"),
        ("a.parquet", "none", "not a whole Parquet file"),
        ("a.html.gz", "none", "not a whole gzip file"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    for source in (tmp_path, tmp_path / name):
        with pytest.raises(InputError, match=message) as caught:
            list(read_corpus(source))
        assert caught.value.field == "data" and name in caught.value.message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "none", "there is no file or folder"),
        (lambda folder: folder, "holds no text file"),
        (lambda folder: _written(folder / "a.docx"), "of no known kind"),
    ],
)
def test_what_is_no_corpus(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_corpus(make(tmp_path))


def _written(path: Path) -> Path:
    path.write_text("x")
    return path


def test_links_out_of_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InputError, match="leads out of the folder"):
        read_corpus(tmp_path / "folder")


def test_a_file_without_text_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "empty.html").write_text("<html></html>")
    (tmp_path / "full.md").write_text("# Wing\nIt lifts.")
    assert [document.id for document in read_corpus(tmp_path)] == ["full.md"]
    assert list(read_corpus(tmp_path / "empty.txt")) == []
