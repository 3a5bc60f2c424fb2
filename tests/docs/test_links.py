"""What is cited can be found: docs/links.toml lists every address that the pages, docstrings and comments name."""

import datetime
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "docs" / "links.toml"
LINKS = tomllib.loads(LIST.read_text(encoding="utf-8"))["link"]
KNOWN = {link["address"] for link in LINKS}
SUFFIXES = {".py", ".md", ".toml", ".cu", ".cuh"}
FILES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(
        path
        for folder in ("docs", "tinygrad_arith", "kernels", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES and path != LIST and "results" not in path.parts
    ),
]
ADDRESS = re.compile(r"https?://[^\s<>\"'`\]\\)]+")
ARXIV = re.compile(r"\barXiv (\d{4}\.\d{4,5})")
SOURCES = re.compile(r"^## Sources\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
ET_AL = re.compile(r"\b([A-Z]\w+)(?: et al)")
NAME = r"(?: et al| and [A-Z]\w+,? \d{4}|(?:, [A-Z]\w+)*,? \d{4}|(?:,? (?:and )?[A-Z]\w+)*: \[?\")"  # behind an author
ANCHOR = re.compile(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)")
ARTICLES = {
    "candle article": "https://tech-blog.cloud-config.jp/2023-09-12-create-small-lm-in-rust-using-candle",
    "Julia article": "https://zenn.dev/char/articles/afdf5b9a1d46eb",
}

TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in FILES}


def addresses(text):
    """All addresses in a text, those of arXiv also where only the number is given."""
    found = {address.rstrip(".,;:") for address in ADDRESS.findall(text)}
    return found | {f"https://arxiv.org/abs/{number}" for number in ARXIV.findall(text)}


def flowing(text):
    """The text without its line ends, and without what begins the lines of a comment."""
    return re.sub(r"\s*\n\s*(?://|#)?\s*", " ", text)


def uncited(text):
    """The authors and articles that a text names without the address of anything by them."""
    text, here = flowing(text), addresses(text)
    authors = {link["by"] for link in LINKS if "by" in link}
    there = {author for author in authors if author in text}  # most are not, which is seen sooner than by an expression
    named = {author for author in there if re.search(rf"(?<!, )(?<!and )\b{author}\b{NAME}", text)}
    named |= set(ET_AL.findall(text))
    by = {link.get("by") for link in LINKS if link["address"] in here}
    articles = {name for name, address in ARTICLES.items() if name in text and address not in here}
    if "docs/experiments.md" in text or "(experiments.md" in text:  # which has the addresses of both articles
        articles = set()
    return sorted(named - by) + sorted(articles)


def test_every_address_is_in_the_list():
    assert {name: new for name, text in TEXTS.items() if (new := addresses(text) - KNOWN)} == {}


def test_every_address_of_the_list_is_named_somewhere():
    assert KNOWN - set().union(*map(addresses, TEXTS.values())) == set()


def test_the_list_says_what_each_address_is_and_how_it_was_confirmed():
    assert len(KNOWN) == len(LINKS)
    for link in LINKS:
        assert link["title"], link
        assert link["confirmed"], link
        assert isinstance(link["looked_up"], datetime.date), link
        assert ("by" in link) == ("year" in link), link


def test_who_is_cited_has_an_address_in_the_same_file():
    assert {name: found for name, text in TEXTS.items() if (found := uncited(text))} == {}


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_source_of_a_page_can_be_clicked(page):
    for section in SOURCES.findall(page.read_text(encoding="utf-8")):
        sources = [line for line in section.splitlines() if line.startswith("- ")]
        assert sources, page
        assert [line for line in sources if "](" not in line] == []


def test_links_to_a_heading_lead_to_one():
    for name, text in TEXTS.items():
        for target, anchor in ANCHOR.findall(text) if name.endswith(".md") else ():
            page = (ROOT / name).parent / target if target else ROOT / name
            if page.suffix == ".md":
                assert anchor in headings(page.read_text(encoding="utf-8")), f"{name}: {target}#{anchor}"


def headings(text):
    """The names that GitHub gives the headings of a page, by which links find them."""
    titles = [re.sub(r"\]\([^)]*\)", "]", title) for title in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)]
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


# The finders themselves


def test_addresses_are_found_in_prose_links_and_comments():
    text = 'see https://a.org/b. [x](https://c.org/d), "https://e.org"; arXiv 1706.03762, (https://doi.org/1%2864%29)'
    expected = {"https://a.org/b", "https://c.org/d", "https://e.org"}
    assert addresses(text) == expected | {"https://arxiv.org/abs/1706.03762", "https://doi.org/1%2864%29"}


@pytest.mark.parametrize(
    "text",
    [
        "Vaswani et\n    al.: 2017",
        "// (Dao, 2023,\n// algorithm 1)",
        "Rabe and Staats 2021",
        '- Kingma, Ba: "Adam", 2015',
        "Nobody et al. 1900",
        "as in the candle article",
    ],
)
def test_a_citation_without_an_address_is_noticed(text):
    assert uncited(text) != []


def test_a_citation_with_its_address_is_not():
    assert uncited("Vaswani et al. 2017, arXiv 1706.03762; in [Ba](x): 2016 is no citation") == []
