"""Hook of mkdocs for the Chinese edition.

Its headings get the anchors of their English twins, so that ``page.md#anchor`` leads to the same place in both editions.
Lines that end and begin with Chinese are joined, since a browser shows a line break as a space. And the API reference,
which is made from English docstrings, is built once: its Chinese page leads there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

#: What ends the name of a Chinese page, as `mkdocs-static-i18n` has it.
SUFFIX = ".zh.md"

_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)

#: A directive of mkdocstrings with its options, and what stands for it.
_OBJECT = re.compile(r"^::: (\S+)\n(?: +.*\n?)*", re.MULTILINE)
_LINK = r'<a href="../../reference/#\1"><code>\1</code></a>\n'
_ABOUT_THE_REFERENCE = "API 参考由代码中的英文 docstring 生成，以下链接指向英文版。\n"  # noqa: RUF001

_CHINESE = r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef\u2014\u2018\u2019\u201c\u201d\u2026]"
_ENDS_CHINESE = re.compile(f"{_CHINESE}$")
_BEGINS_CHINESE = re.compile(f" *{_CHINESE}")
#: After full-width punctuation no space is written, whatever the next line of the paragraph begins with.
_ENDS_FULL_WIDTH = re.compile(r"[\u3001\u3002\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f\u201c\u201d]$")
_CONTINUES = re.compile(r" *(?!\d+\. )[\w`\[*](?! )")


def twin(page: Path) -> Path:
    """The English page of a Chinese one."""
    if page.name == "README.zh-CN.md":
        return page.with_name("README.md")
    return page.with_name(page.name.removesuffix(SUFFIX) + ".md")


def prose(text: str) -> str:
    """The text without its code blocks, which keep their place as empty lines."""
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def headings(text: str) -> list[tuple[int, str]]:
    """Level and text of each heading."""
    return [(len(match[1]), match[2]) for match in _HEADING.finditer(prose(text))]


def anchors(text: str) -> list[str]:
    """The anchor of each heading, as mkdocs makes them."""
    from markdown import Markdown

    made = Markdown(extensions=["attr_list", "toc"])
    made.convert("\n\n".join(f"{'#' * level} {heading}" for level, heading in headings(text)))
    return [token["id"] for token in _flat(made.toc_tokens)]


def _flat(tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for token in tokens for each in (token, *_flat(token["children"]))]


def are_joined(line: str, following: str) -> bool:
    """Whether a browser would show a space between two lines where Chinese has none."""
    if _ENDS_CHINESE.search(line) and _BEGINS_CHINESE.match(following):
        return True
    return bool(_ENDS_FULL_WIDTH.search(line) and _CONTINUES.match(following))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make a page of the Chinese edition from what is written."""
    source = Path(page.file.abs_src_path)
    if source.name == "reference.md" and page.file.dest_uri.startswith("zh/"):
        return "\n".join([_ABOUT_THE_REFERENCE, *_OBJECT.sub(_LINK, markdown).split("\n")])
    if not source.name.endswith(SUFFIX):
        return markdown
    known = anchors(twin(source).read_text(encoding="utf-8"))
    if len(known) != len(headings(markdown)):
        raise ValueError(f"{source.name} has not the headings of {twin(source).name}")
    left = iter(known)
    lines = markdown.split("\n")
    made = []
    for line, outside in zip(lines, prose(markdown).split("\n"), strict=True):
        if outside and _HEADING.match(line):
            made.append(f"{line} {{#{next(left)}}}")
        elif outside and made and are_joined(made[-1], line):
            made[-1] += line.strip()
        else:
            made.append(line)
    return "\n".join(made)


def on_page_context(context: Any, page: Any, config: Any, **_: Any) -> Any:
    """Let the switch of a start page lead to the other one relative to it: the site may be below a folder."""
    for edition in config.extra.alternate:
        edition["link"] = page.file.alternates[edition["lang"]].url
    return context
