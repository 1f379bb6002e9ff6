"""Pages with sections and links from each kind of file."""

from __future__ import annotations

from pathlib import Path

import pytest

from etude.data.pages import Page, load_pages, write_pages
from etude.errors import InputError

HTML = """<!doctype html><html><head><title>x</title><style>p {}</style></head><body>
<nav><p>Everywhere the same</p><a href="nowhere.html">x</a></nav>
<div role="main"><section><h1>Wings<a class="headerlink" href="#wings">¶</a></h1>
<p>They <em>lift</em>&nbsp;an aircraft,<br>see <a href="sub/tails.html#top">tails</a>
and <a href="https://example.org/a.html">others</a>.<p>Second paragraph.
<ul><li>One of a list</li><li>Another</li>
<li><a href="sub/tails.html">Nothing but a link</a></li></ul><pre>code()</pre></section>
<section><h2>See also</h2><p>Not this.</p></section>
<section><h2>Form</h2><dl><dt>span</dt><dd><p>How wide it is.</p></dd></dl></section></div>
<div><p>Copyright</p></div></body></html>"""
TAILS = '<html><body><h1>Tails</h1><p>Back to <a href="../wings.html">wings</a>.</p></body></html>'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "wings.html").write_text(HTML)
    (tmp_path / "sub" / "tails.html").write_text(TAILS)
    (tmp_path / "genindex.html").write_text("<p>wings, tails, all of them in a list</p>")
    (tmp_path / "empty.html").write_text("<html></html>")
    return tmp_path


def test_html_gives_its_main_part(tree: Path) -> None:
    tails, wings = load_pages(tree)
    assert (wings.id, wings.title, wings.links) == ("wings.html", "Wings", ("sub/tails.html",))
    assert [(section.heading, section.paragraphs) for section in wings.sections] == [
        (
            "Wings",
            ("They lift an aircraft,see tails and others.", "Second paragraph.", "One of a list", "Another"),
        ),
        ("Form", ("span", "How wide it is.")),
    ]
    assert (tails.title, tails.links) == ("Tails", ("wings.html",))


def test_markdown_and_mediawiki(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "# Wings #\n\nThey **lift**.\n\n```\n# code\n```\n## Form\n- bent, see [it](b.wiki)\n"
    )
    (tmp_path / "b.wiki").write_text(
        "'''Tails''' steady.<ref>x</ref> {{a|{{b}}}} [[File:x.png|thumb]] [[c d|others]]\n\n"
        "== References ==\nx\n"
    )
    (tmp_path / "c d.wiki").write_text("Other things.")
    wings, tails, others = load_pages(tmp_path)
    assert [(s.heading, s.paragraphs) for s in wings.sections] == [
        ("Wings", ("They lift.",)),
        ("Form", ("bent, see it",)),
    ]
    assert wings.links == ("b.wiki",) and tails.links == ("c d.wiki",) and others.links == ()
    assert tails.title == "b" and tails.sections[0].paragraphs == ("Tails steady. others",)
    assert len(tails.sections) == 1


def test_pages_are_written_and_read_again(tree: Path, tmp_path: Path) -> None:
    pages = load_pages(tree)
    write_pages(pages, tmp_path / "pages.jsonl")
    assert load_pages(tmp_path / "pages.jsonl") == pages


def test_what_is_no_page_is_said(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "title": "A"}\n')
    (tmp_path / "none").mkdir()
    for name in (tmp_path / "bad.jsonl", tmp_path / "none", tmp_path / "gone", "no-such-pages"):
        with pytest.raises(InputError, match=r"^pages:"):
            load_pages(name)


def test_links_to_itself_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\nSee [above](a.md) and [b](b.md) and [b](b.md).")
    (tmp_path / "b.md").write_text("# B\nNothing.")
    assert [page.links for page in load_pages(tmp_path)] == [("b.md",), ()]
    assert isinstance(load_pages(tmp_path)[0], Page)
