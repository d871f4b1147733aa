"""The Chinese edition says what the English one does: the same pages, headings, code blocks, links, pictures and tables."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from dev.chinese import SUFFIX, are_joined, headings, prose, twin
from tests.conftest import ROOT

#: Made from English docstrings, and built once.
GENERATED = "reference.md"

ENGLISH = [
    ROOT / "README.md",
    *sorted(
        page
        for page in (ROOT / "docs").glob("*.md")
        if not page.name.endswith(SUFFIX) and page.name != GENERATED
    ),
]
CHINESE = [
    page for page in (ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob(f"*{SUFFIX}"))) if page.exists()
]

_BLOCK = re.compile(r"^( *)```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_IMAGE = re.compile(r"!\[[^]]*\]\(([^)\s]+)\)")
_LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`\n]+`")
#: Nobody leaves so many English words in a row untranslated, except by mistake.
_ENGLISH_SENTENCE = re.compile(r"(?:\b[A-Za-z][a-z']*\b[ ,]+){7}")
#: Between the editions of README.
_SWITCH = re.compile(r"^.*\[(?:简体中文|English)\]\(README.*$", re.MULTILINE)

#: Figures, versions, status codes: what must not differ between the editions.
_NUMBER = re.compile(r"(?<![\w.])\d(?:[\d,.]*\d)?")

both = pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)


def read(page: Path) -> str:
    return _SWITCH.sub("", page.read_text(encoding="utf-8"))


def _without_links(text: str) -> str:
    return re.sub(r"\]\([^)]*\)|<http[^>]*>", "]", _BLOCK.sub("", text))


def tables(text: str) -> list[list[list[str]]]:
    """Each table as rows of cells."""
    found: list[list[list[str]]] = []
    before = ""
    for line in prose(text).split("\n"):
        if line.startswith("|"):
            # A bar within code is no edge of a cell.
            bare = _CODE.sub(lambda code: code[0].replace("|", "¦"), line.replace("\\|", "¦"))
            row = [cell.strip() for cell in bare.strip().strip("|").split("|")]
            if not before.startswith("|"):
                found.append([])
            found[-1].append(row)
        before = line
    return found


@both
def test_the_headings_are_the_same(page: Path) -> None:
    ours, theirs = headings(read(page)), headings(read(twin(page)))
    assert [level for level, _ in ours] == [level for level, _ in theirs], (ours, theirs)
    assert [_CODE.findall(text) for _, text in ours] == [_CODE.findall(text) for _, text in theirs]


@both
def test_the_code_is_the_same(page: Path) -> None:
    ours, theirs = ([match.groups() for match in _BLOCK.finditer(read(each))] for each in (page, twin(page)))
    assert ours == theirs


@both
def test_links_and_pictures_are_the_same(page: Path) -> None:
    ours, theirs = prose(read(page)).replace(SUFFIX, ".md"), prose(read(twin(page)))
    assert _IMAGE.findall(ours) == _IMAGE.findall(theirs)
    assert Counter(_LINK.findall(ours)) == Counter(_LINK.findall(theirs))


@both
def test_the_tables_are_the_same(page: Path) -> None:
    ours, theirs = tables(read(page)), tables(read(twin(page)))
    assert [[len(row) for row in table] for table in ours] == [
        [len(row) for row in table] for table in theirs
    ]
    for one, other in zip(ours, theirs, strict=True):
        for row, its_twin in zip(one, other, strict=True):
            assert sorted(_CODE.findall(row[0])) == sorted(_CODE.findall(its_twin[0]))


@both
def test_the_figures_are_the_same(page: Path) -> None:
    ours, theirs = (Counter(_NUMBER.findall(_without_links(read(each)))) for each in (page, twin(page)))
    assert ours - theirs == theirs - ours == Counter()


@both
def test_no_sentence_is_left_in_english(page: Path) -> None:
    text = _CODE.sub("", re.sub(r"\]\([^)]*\)", "]", prose(read(page))))
    text = re.sub("\u201c[^\u201d]*\u201d", "", text)  # a quoted message
    assert not _ENGLISH_SENTENCE.findall(text)
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 50


@both
def test_punctuation_is_chinese(page: Path) -> None:
    text = _CODE.sub("c", re.sub(r"\]\([^)]*\)", "]", prose(read(page))))
    assert not re.findall(r".*[\u4e00-\u9fff][,;!?](?:\s|$|[\u4e00-\u9fff]).*", text)
    assert not re.findall(r".*[\u4e00-\u9fff]\.(?:\s|$).*", text)


def test_both_editions_have_the_same_pages() -> None:
    assert sorted(twin(page) for page in CHINESE) == sorted(ENGLISH)


def test_every_entry_of_the_navigation_is_translated() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r"^ +- ([^:\n]+):", config.partition("\nnav:")[2], re.MULTILINE)
    translated = re.findall(
        r"^ {12}([^:\n]+): ", config.partition("nav_translations:")[2].split("\n  - ")[0], re.MULTILINE
    )
    assert sorted(set(named)) == sorted(translated)


def test_the_readmes_lead_to_each_other() -> None:
    assert "[简体中文](README.zh-CN.md)" in (ROOT / "README.md").read_text()
    assert "[English](README.md)" in (ROOT / "README.zh-CN.md").read_text()


@pytest.mark.parametrize(
    "following", ["下一行", "*着重*", "`code`", "[链接](x.md)", "Airflow", "3.3 起", "**粗体**"]
)
def test_lines_are_joined_after_full_width_punctuation(following: str) -> None:
    assert are_joined("前一行，", following)  # noqa: RUF001


@pytest.mark.parametrize("following", ["- 列表", "* 列表", "1. 列表", "| 表 |", "> 引用", "", "::: name"])
def test_what_begins_a_block_is_not_joined(following: str) -> None:
    assert not are_joined("前一行：", following)  # noqa: RUF001


def test_a_space_between_chinese_and_latin_stays() -> None:
    assert not are_joined("前一行", "Airflow")
