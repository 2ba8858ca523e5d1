"""The LaTeX of a report: escaping, tables, methods, references, and whether a LaTeX compiles it."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import sem, t, ttest_rel
from tests.conftest import reduce_draws
from tests.report.conftest import edit, set_accuracies, write_sweep

from ser_lightning.cli.report import main
from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.paper.bibliography import bibliography, entries
from ser_lightning.paper.latex import SPECIAL, escape
from ser_lightning.paper.methods import methods_paragraph
from ser_lightning.paper.tables import arms_table, best_arms
from ser_lightning.paper.write import write_latex
from ser_lightning.report.arms import Comparison, compare_arms
from ser_lightning.report.report import make_report
from ser_lightning.report.runs import read_runs

pytestmark = pytest.mark.usefixtures("few_draws")
HOSTILE = "50 % of a_b & {c} #1 $x^2$ ~<>|\\ \"q\" 'r' `s` é ±"
RESULTS = Path(__file__).parents[2] / "docs/results"


def comparison_of(sweep: Path) -> Comparison:
    results = read_runs(sweep)
    return compare_arms(results.runs, results.predictions, arm="dropout")


def pieces(text: str) -> Iterator[str]:
    """Yield the commands, braces, dollars and other active characters of LaTeX text; an escaped one is a command."""
    for match in re.finditer(r"\\(begin|end)\{(\w+)\}|\\[a-zA-Z]+|\\.|[{}$&#_%^~]", text, re.DOTALL):
        yield match[0]


def check_latex(text: str) -> None:
    """Assert that braces, formulas and environments are balanced, and that & and _ are only where they belong."""
    open_ones: list[str] = []
    for piece in pieces(text):
        if piece.startswith("\\begin"):
            open_ones.append(piece[7:-1])
        elif piece.startswith("\\end{"):
            assert open_ones.pop() == piece[5:-1]
        elif piece in "{$" and not (piece == "$" and open_ones[-1:] == ["$"]):
            open_ones.append(piece)
        elif piece in "}$":
            assert open_ones.pop() == {"}": "{", "$": "$"}[piece]
        elif piece == "&":
            assert open_ones == ["table", "tabular"]
        else:
            assert piece not in "#_%^"
            assert piece != "~" or "~\\cite" in text
    assert open_ones == []


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``latex`` of a sweep whose names and values have all special characters."""
    sweep = write_sweep(tmp_path_factory.mktemp("hostile") / "s", seeds=3, name=HOSTILE)
    for run in sweep.glob("dropout-p25/*"):
        edit(run, lambda result: result["choices"].update(dropout=HOSTILE))
    for run in sweep.glob("*/*"):
        edit(run, lambda result: result["config"]["model"].update(hidden_layer=HOSTILE))
    with pytest.MonkeyPatch.context() as patch:
        reduce_draws(patch)
        return write_latex(make_report(sweep), sweep).parent


@pytest.mark.parametrize("character", SPECIAL)
def test_special_characters_are_escaped(character: str) -> None:
    escaped = escape(f"a{character}b")

    assert escaped != f"a{character}b"
    check_latex(escaped)


def test_control_characters_become_spaces() -> None:
    assert escape("a\nb\x07c") == "a b c"


def test_files_are_balanced_and_hold_the_escaped_names(hostile: Path) -> None:
    texts = {path.name: path.read_text() for path in hostile.iterdir()}

    assert sorted(texts) == ["arms.tex", "differences.tex", "main.tex", "methods.tex", "references.bib"]
    for name in ("arms.tex", "differences.tex", "methods.tex"):
        check_latex(texts[name])
    assert escape(HOSTILE) in texts["arms.tex"]
    assert [line for line in texts["arms.tex"].splitlines() if line.endswith("rule")] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]


def test_every_citation_has_an_entry(hostile: Path) -> None:
    cited = {
        key
        for keys in re.findall(r"\\cite\{([^}]*)\}", (hostile / "methods.tex").read_text())
        for key in keys.split(",")
    }

    written = set(re.findall(r"^@\w+\{([\w-]+),$", (hostile / "references.bib").read_text(), re.MULTILINE))
    assert {"ravdess", "torch", "statsmodels"} <= cited
    assert cited == written


def test_references_have_the_fields_that_bibtex_needs() -> None:
    assert len(entries()) > 15
    for key, entry in entries().items():
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE))
        assert len(fields) == entry.count("\n") - 2, key
        assert {"author", "title", "year"} <= fields.keys(), key
        assert all(value.count("{") == value.count("}") for value in fields.values()), key
        assert re.fullmatch(r"(19|20)\d\d", fields["year"]), key


def test_corpus_without_reference_is_cited_by_its_source() -> None:
    missing = sorted(DEFINITIONS.keys() - entries().keys())

    assert missing
    entry = bibliography([missing[0]])
    assert escape(DEFINITIONS[missing[0]].source) in entry
    assert bibliography(["a corpus of mine"]) == ""


def test_bold_arms_do_not_differ_from_the_best(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", arms=("none", "p10", "p25"), seeds=4)
    correct = {"none": (200, 210, 205, 199), "p10": (230, 241, 236, 229), "p25": (228, 243, 233, 232)}
    for arm, counts in correct.items():
        set_accuracies(sweep, arm, *counts)
    comparison = comparison_of(sweep)

    found = best_arms(comparison, "test/accuracy")

    worst, near = (ttest_rel(correct[arm], correct["p10"]).pvalue for arm in ("none", "p25"))
    assert 2 * worst < 0.05 < near  # the smaller p-value is doubled by Holm's adjustment
    assert found == {"p10", "p25"}
    rows = {row.split(" & ")[0]: row.split(" & ")[2] for row in arms_table(comparison).splitlines() if " & " in row}
    for arm, bold in (("p10", r"\textbf{\boldmath 65.0}"), ("none", "56.5")):
        shares = np.array(correct[arm]) / 3.6
        low, high = t.interval(0.95, 3, shares.mean(), sem(shares))
        assert rows[arm] == f"{bold} $[{low:.1f}, {high:.1f}]$"


@pytest.mark.parametrize(("arms", "seeds"), [(("none", "p25"), 1), (("none",), 3)])
def test_nothing_is_bold_without_a_test(tmp_path: Path, arms: tuple[str, ...], seeds: int) -> None:
    text = arms_table(comparison_of(write_sweep(tmp_path / "s", arms=arms, seeds=seeds)))

    assert "textbf" not in text
    assert ("Bold in" in text) is False


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "The weights after the last epoch are tested"),
        (
            {"checkpoint": "best", "config__monitor": "val/uar"},
            r"The epoch with the highest \texttt{val/uar} is tested",
        ),
        ({"config__evaluation": {"training_mode": True}}, "evaluated in training mode"),
        ({"config__augment": {"_target_": "a.SpeedCopies", "factors": [0.9, 1.1]}}, "copies at other speeds"),
        (
            {"config__features": {"_target_": "a.LogMel", "n_mels": 80}},
            r"log-mel spectrograms (\texttt{n\_\allowbreak mels} 80)",
        ),
        ({"config__optim": {"_target_": "torch.optim.SGD", "lr": 0.01}}, r"\texttt{SGD} (\texttt{lr} 0.01)"),
        ({"config__corpus": {"merge": {"calm": "neutral"}}}, "Changed labels: calm as neutral"),
        ({"config__corpus": {"merge": {"calm": None}}}, "Changed labels: calm left out"),
        ({"config__ensemble": 3}, "probabilities of 3 networks"),
        (
            {"config__data": {"teacher": "r", "teacher_share": 0.3}},
            "0.3 of each target are probabilities of another model",
        ),
        ({"epochs": 0}, "fitted once"),
        ({"corpus__name": "emodb+emovo"}, r"EmoDB~\cite{emodb} and EMOVO~\cite{emovo}"),
    ],
)
def test_methods_follow_the_config(tmp_path: Path, changes, text: str) -> None:
    found = methods_paragraph(comparison_of(write_sweep(tmp_path / "s", **changes)))

    check_latex(found)
    assert text in found
    assert "864 training, 216 validation, 360 test utterances" in found
    assert "seed 0 to 2" in found
    assert r"dropout.\allowbreak head} (none" in found


def compile_latex(folder: Path) -> str:
    """Compile ``main.tex`` and return the text of its log."""
    if shutil.which("pdflatex") is None or shutil.which("bibtex") is None:
        pytest.skip("no pdflatex and bibtex on this machine (Debian: texlive-latex-recommended)")
    latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"]
    for words in (latex, ["bibtex", "main"], latex, latex):
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    return (folder / "main.log").read_text(errors="replace")


def test_hostile_names_compile(hostile: Path) -> None:
    log = compile_latex(hostile)

    assert "undefined" not in log
    assert (hostile / "main.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_committed_results_compile_without_overfull_tables(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(RESULTS / "dropout/released"), "--latex", "--output", str(tmp_path)])

    assert end.value.code == 0
    log = compile_latex(tmp_path / "latex")
    assert "undefined" not in log
    assert "Overfull" not in log
