"""Render the templates of a report as Markdown, and the Markdown as one self-contained HTML page."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from matplotlib.figure import Figure

from ser_lightning.report import tables
from ser_lightning.report.figures import svg


class Panel(NamedTuple):
    """A figure and its heading."""

    heading: str
    figure: Figure


def render_markdown(template: str, panels: Mapping[str, Panel], *, prefix: str = "", **context: Any) -> str:
    """Render a Markdown template of this package.

    Args:
        template: file name, such as ``report.md.j2``
        panels: name -> panel; a template places them with ``images(name, ...)``
        prefix: prefix of the file names of the panels
        context: values for the template

    """

    def images(*names: str) -> Markup:
        lines = (f"![{_escape(panels[name].heading)}](figures/{prefix}{name}.png)" for name in names)
        return Markup("\n".join(lines))  # noqa: S704 - headings are escaped

    text = _environment(markdown=True).get_template(template).render(context, images=images)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def render_page(text: str, panels: Mapping[str, Panel], *, title: str) -> str:
    """Render Markdown as an HTML page without scripts or external resources; the panels become inline SVG.

    Args:
        text: the Markdown; HTML in it is kept
        panels: name -> panel, for the images ``figures/<name>.png``
        title: title of the page

    """

    def image(_: Any, tokens: Sequence[Token], index: int, *__: Any) -> str:
        name = str(tokens[index].attrs["src"]).removeprefix("figures/").removesuffix(".png")
        heading = panels[name].heading
        drawing = svg(panels[name].figure, name=name, title=heading)
        return f'<span class="panel"><strong>{_escape(heading)}</strong>{drawing}</span>'

    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.add_render_rule("image", image)
    parser.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    # A non-breaking space keeps a number and its percent sign on the same line.
    body = Markup(parser.render(text.replace(" %", "\N{NO-BREAK SPACE}%")))  # noqa: S704 - values in the text are escaped
    return make_page(body, title=title)


def make_page(body: Markup, *, title: str) -> str:
    """Return an HTML page with the style of the reports, for light and dark screens of any width.

    Args:
        body: content of the page, as HTML
        title: title of the page

    """
    return _environment(markdown=False).get_template("page.html.j2").render(title=title, body=body)


@cache
def html_template(package: str, name: str) -> Template:
    """Return a template of HTML, whose values are escaped, from the folder ``templates`` of a package."""
    environment = Environment(
        loader=PackageLoader(package), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


@cache
def _environment(*, markdown: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("ser_lightning.report"),
        autoescape=not markdown,  # noqa: S701 - values in Markdown are escaped by finalize
        finalize=_finalize if markdown else None,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(tables=tables, table=_table, unique=_unique)
    return environment


def _finalize(value: Any) -> Any:
    # Markdown may contain HTML, so values are escaped, but not their quotes, which may stay as they are.
    return _escape(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _escape(text: str) -> str:
    """Escape what could begin an HTML tag or entity; ``p < 0.01`` stays as it is."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", re.sub(r"&(?=#?\w+;)", "&amp;", text))


def _table(table: pd.DataFrame) -> Markup:
    return Markup(_escape(tables.markdown(table)))  # noqa: S704


def _unique(values: Sequence[Any]) -> str:
    return " / ".join(dict.fromkeys(map(str, values)))
