"""Escape text for LaTeX and format tables with booktabs."""

from collections.abc import Sequence

SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "{}$&#_%"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\`{}",
    "±": r"$\pm$",
}


def escape(text: str) -> str:
    r"""Return the text with LaTeX's special characters escaped and control characters replaced by spaces.

    >>> escape("50 % of a_b & {c}")
    '50 \\% of a\\_b \\& \\{c\\}'

    """
    return "".join(SPECIAL.get(c, c if c.isprintable() else " ") for c in text)


def code(text: str) -> str:
    r"""Return the text as code, which may be broken after an underscore or a dot.

    >>> code("optim.lr")
    '\\texttt{optim.\\allowbreak lr}'

    """
    escaped = escape(text)
    for separator in (r"\_", "."):
        escaped = escaped.replace(separator, separator + r"\allowbreak ")
    return rf"\texttt{{{escaped}}}"


def bold(text: str) -> str:
    """Return the text and its formulas in bold."""
    return rf"\textbf{{\boldmath {text}}}"


def number(value: float, *, sign: bool = False) -> str:
    """Format a number with one decimal and a true minus sign.

    >>> number(-1.25), number(0.5, sign=True)
    ('$-1.2$', '$+0.5$')

    """
    text = f"{value:+z.1f}" if sign else f"{value:z.1f}"
    return f"${text}$" if text[0] in "+-" else text


def interval(edges: tuple[float, float] | None) -> str:
    """Format an interval; a dash if there is none."""
    return "--" if edges is None else f"$[{edges[0]:z.1f}, {edges[1]:z.1f}]$"


def p_value(p: float | None) -> str:
    """Format a p-value with two significant digits; a dash if there is none.

    >>> p_value(0.0471), p_value(0.00001), p_value(None)
    ('0.047', '$<$ 0.0001', '--')

    """
    if p is None:
        return "--"
    return "$<$ 0.0001" if p < 0.0001 else f"{p:.2g}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, alignment: str, caption: str, label: str) -> str:
    """Return a table environment with the rules of the package booktabs; its cells must be escaped already."""
    lines = [" & ".join(cells) + r" \\" for cells in (header, *rows)]
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{{label}}}",
            r"\medskip",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )
