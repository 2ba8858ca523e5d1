"""BibTeX entries of the corpora and libraries of a report.

The entries are those of ``references.bib``. A published corpus without one gets an entry made from the source that its
definition states.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import pandas as pd

from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.paper.latex import escape

ALWAYS = ("torch", "pytorch-lightning", "hydra-core")  # libraries of every run
STATISTICS = ("scipy", "statsmodels")  # libraries of the report
# Start of the path of a class in a config -> library that computes what the class does, or whose algorithms it has.
BY_CLASS = {
    "ser_lightning.features.open_smile": "opensmile",
    "ser_lightning.features.encoders.encoder.HuggingFaceEncoder": "transformers",
    "ser_lightning.features.encoders": None,
    "ser_lightning.features": "librosa",
    "ser_lightning.baselines": "scikit-learn",
}


@cache
def entries() -> dict[str, str]:
    """Return key -> entry of ``references.bib``."""
    text = (files("ser_lightning.paper") / "references.bib").read_text(encoding="utf-8")
    return {
        match[1]: match[0] + "\n" for match in re.finditer(r"^@\w+\{([\w-]+),\n.*?^\}$", text, re.DOTALL | re.MULTILINE)
    }


def corpora(runs: pd.DataFrame) -> list[str]:
    """Return the names of the corpora of some runs, in alphabetical order."""
    return sorted({name for corpus in runs.corpus for name in corpus["name"].split("+")})


def libraries(runs: pd.DataFrame) -> list[str]:
    """Return the names of the libraries with a reference that some runs and their report used."""
    used = {library for config in runs.config for library in map(_library, _classes(config)) if library}
    return [*ALWAYS, *sorted(used), *STATISTICS]


def bibliography(keys: Iterable[str]) -> str:
    """Return the BibTeX entries of corpora and libraries; those without a reference are left out."""
    return "\n".join(entry for key in keys if (entry := _entry(key)))


def has_entry(key: str) -> bool:
    """Return whether there is a BibTeX entry of a corpus or library."""
    return bool(_entry(key))


def _entry(key: str) -> str:
    if key in entries() or key not in DEFINITIONS:
        return entries().get(key, "")
    corpus = DEFINITIONS[key]
    return (
        f"@misc{{{key},\n  title = {{{{{escape(corpus.title)}}}}},\n  howpublished = {{{escape(corpus.source)}}},\n}}\n"
    )


def _classes(config: dict[str, object]) -> list[str]:
    sections = [config.get(name) for name in ("features", "model")]
    return [str(section.get("_target_", "")) for section in sections if isinstance(section, dict)]


def _library(target: str) -> str | None:
    return next((library for prefix, library in BY_CLASS.items() if target.startswith(prefix)), None)
