"""Write a report as LaTeX: fragments for a paper, and a document of them that compiles."""

from pathlib import Path

from ser_lightning.atomic import write_atomically
from ser_lightning.paper.bibliography import bibliography, corpora, libraries
from ser_lightning.paper.methods import methods_paragraph
from ser_lightning.paper.tables import arms_table, differences_table
from ser_lightning.report.report import Report

FOLDER = "latex"
DOCUMENT = r"""\documentclass{article}
\usepackage[margin=2.5cm]{geometry}
\usepackage{booktabs}
\usepackage{url}
\sloppy
\begin{document}
\section*{Methods}
\input{methods}
\section*{Results}
\input{arms}
\input{differences}
\bibliographystyle{plain}
\bibliography{references}
\end{document}
"""


def write_latex(report: Report, folder: Path) -> Path:
    r"""Write the methods, the tables and the references, and ``main.tex``, which inputs them.

    The tables need the package booktabs, and the references ``\url``.

    Args:
        report: the report
        folder: folder of the report; the files are written to its folder ``latex``

    Returns:
        the path of ``main.tex``

    """
    comparison = report.comparison
    texts = {
        "methods.tex": methods_paragraph(comparison),
        "arms.tex": arms_table(comparison) + "\n",
        "differences.tex": differences_table(comparison, report.contrasts) + "\n",
        "references.bib": bibliography([*corpora(comparison.runs), *libraries(comparison.runs)]),
        "main.tex": DOCUMENT,
    }
    for name, text in texts.items():
        with write_atomically(folder / FOLDER / name) as file:
            file.write(text)
    return folder / FOLDER / "main.tex"
