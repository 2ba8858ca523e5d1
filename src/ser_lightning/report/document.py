"""Data classes for a report made of titled sections, and its rendering as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from ser_lightning.report.tables import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A figure of one or more panels.

    Args:
        caption: what the figure shows
        panels: file name without extension -> heading and figure of a panel

    """

    caption: str
    panels: Mapping[str, tuple[str, Figure]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """A bulleted list of short lines."""

    lines: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """A shell command, shown as a code block."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded:
    """A long table that few readers need, collapsed by default."""

    title: str
    table: Table


Block = str | Table | Picture | Points | Code | Folded


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and the blocks below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A complete report.

    Args:
        title: a few words
        warning: shown before everything else; empty if there is none
        question: the question in one sentence
        answer: one sentence per arm
        cautions: what a reader should know before relying on the answer
        sections: the sections that follow

    """

    title: str
    warning: str
    question: str
    answer: str
    cautions: Sequence[str]
    sections: Sequence[Section]

    @property
    def panels(self) -> dict[str, Figure]:
        """Name -> figure of every panel of every picture."""
        pictures = (block for section in self.sections for block in section.blocks if isinstance(block, Picture))
        return {name: figure for picture in pictures for name, (_, figure) in picture.panels.items()}


def markdown(document: Document) -> str:
    """Render a document as Markdown that refers to its panels as ``figures/<name>.png``."""
    parts = [
        f"# {document.title}",
        f"**{document.warning}**" if document.warning else "",
        document.question,
        f"**{document.answer}**",
        _lines(document.cautions),
    ]
    for section in document.sections:
        parts += [f"## {section.title}", *map(block_markdown, section.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def block_markdown(block: Block) -> str:
    """Render one block of a document as Markdown."""
    match block:
        case Table():
            return block.markdown()
        case Picture():
            images = "\n".join(
                f"![{heading or block.caption.partition('.')[0]}](figures/{name}.png)"
                for name, (heading, _) in block.panels.items()
            )
            return f"{images}\n\n{block.caption}"
        case Points():
            return _lines(block.lines)
        case Code():
            return f"```sh\n{block.text}\n```"
        case Folded():
            return f"<details><summary>{block.title}</summary>\n\n{block.table.markdown()}\n\n</details>"
        case str():
            return block


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
