"""The pages keep the rules of prose: short lines, sentences and paragraphs, plain words, an opening paragraph."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

HOME: Final = Path(__file__).parents[2]
PAGES: Final = [HOME / "README.md", HOME / "CONTRIBUTING.md", *sorted((HOME / "docs").rglob("*.md"))]
MAX_LINE_CHARS: Final = 120
MAX_PARAGRAPH_LINES: Final = 5
MAX_SENTENCE_WORDS: Final = 25
"""Code and the target of a link count as one word; a colon and a semicolon end a sentence as a full stop does."""
BANNED: Final = re.compile(r"\b(anew|in vain|whoever|bears?)\b", re.IGNORECASE)
NOT_PROSE: Final = re.compile(r"\||#|<!--|\[[^]]+\]: ")  # a table, a heading, a comment, a link definition
ITEM: Final = re.compile(r"(?:[*-]|\d+\.) ")


def paragraphs(text: str) -> Iterator[list[str]]:
    """The lines of each paragraph and list item of a page, without code and tables."""
    paragraph: list[str] = []
    for line in [*re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL).splitlines(), ""]:
        prose = line.strip() and not NOT_PROSE.match(line.strip())
        if paragraph and (not prose or ITEM.match(line.strip())):
            yield paragraph
            paragraph = []
        if prose:
            paragraph.append(line)


def broken_rules(text: str) -> list[str]:
    """Each rule that a page breaks, with the line it breaks it in."""
    broken = [
        f"over {MAX_LINE_CHARS} characters: {line}" for lines in paragraphs(text) for line in lines if _long(line)
    ]
    broken += [
        f"over {MAX_PARAGRAPH_LINES} lines: {lines[0]}"
        for lines in paragraphs(text)
        if len(lines) > MAX_PARAGRAPH_LINES
    ]
    broken += [
        f"over {MAX_SENTENCE_WORDS} words: {sentence}"
        for lines in paragraphs(text)
        for sentence in _sentences(" ".join(lines))
        if len(re.findall(r"\S*\w\S*", sentence)) > MAX_SENTENCE_WORDS
    ]
    broken += [f"a banned word: {line}" for line in text.splitlines() if BANNED.search(line)]
    _, _, body = text.partition("\n")
    opening = next((line for line in body.splitlines() if line.strip()), "#")
    if not text.startswith("# ") or NOT_PROSE.match(opening) or ITEM.match(opening) or opening.startswith("```"):
        broken.append("no title followed by a paragraph that says what the page is for")
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_a_page_keeps_the_rules_of_prose(page: Path) -> None:
    assert broken_rules(page.read_text()) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"# Title\n\nFor readers.\n\n{'w' * 90} {'w' * 40}\n", "over 120 characters"),
        ("# Title\n\n" + "A line.\n" * 6, "over 5 lines"),
        ("# Title\n\nFor readers.\n\n* An item.\n" + "  A line.\n" * 5, "over 5 lines"),
        (f"# Title\n\n{'word ' * 13}\n{'word ' * 13}\n", "over 25 words"),
        ("# Title\n\nIt begins anew.\n", "a banned word"),
        ("# Title\n\n| A | table |\n|---|---|\n", "no title followed by a paragraph"),
        ("# Title\n\n## Section\n\nText.\n", "no title followed by a paragraph"),
    ],
)
def test_each_rule_is_checked(text: str, rule: str) -> None:
    assert [broken.startswith(rule) for broken in broken_rules(text)] == [True]


def test_tables_code_and_long_links_may_be_long() -> None:
    wide = "w" * 130
    assert broken_rules(f"# Title\n\nFor readers.\n\n```sh\n{wide}\n{wide}\n```\n\n| {wide} | b |\n\n{wide}\n") == []


def _sentences(text: str) -> list[str]:
    plain = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "code", text))
    return re.split(r"[.:;!?][*)\"]*\s", plain)


def _long(line: str) -> bool:
    """Whether a line could have been wrapped: one long word, as a link, cannot."""
    return len(line) > MAX_LINE_CHARS and " " in line.strip().removeprefix("* ")[: MAX_LINE_CHARS - 2]
