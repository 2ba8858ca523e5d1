"""A report as headed sections, and how it becomes Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from ser_lightning.report.tables import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A figure of one or several panels.

    Args:
        caption: what is drawn
        panels: name of its file -> heading and panel

    """

    caption: str
    panels: Mapping[str, tuple[str, Figure]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """A list of short lines."""

    lines: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """Words to be typed."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded:
    """A long table that is of use to few: closed on a page."""

    title: str
    table: Table


Block = str | Table | Picture | Points | Code | Folded


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A whole report.

    Args:
        title: in a few words
        warning: what must be read before anything; empty if there is nothing
        question: in one sentence
        answer: in one sentence for each arm
        cautions: what to bear in mind with it
        sections: the rest

    """

    title: str
    warning: str
    question: str
    answer: str
    cautions: Sequence[str]
    sections: Sequence[Section]

    @property
    def panels(self) -> dict[str, Figure]:
        """Name -> panel, of all pictures."""
        pictures = (block for section in self.sections for block in section.blocks if isinstance(block, Picture))
        return {name: figure for picture in pictures for name, (_, figure) in picture.panels.items()}


def markdown(document: Document) -> str:
    """Return a document as Markdown; its panels are at ``figures/<name>.png``."""
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
    """Return a part of a document as Markdown."""
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
