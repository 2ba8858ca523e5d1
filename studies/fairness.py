"""``make fairness``: how do systems differ between genders, speakers, sentences and intensities of unseen speakers?

The systems are trained on six speaker-independent folds of RAVDESS, so that every speaker is tested once. `corrected`
is that of `make dropout`, whose predictions are in docs/results. Finished runs are skipped on a rerun.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
from studies.study import call, exit_on_input_error, read_page_command_line, write_compact_json

from ser_lightning.atomic import write_atomically
from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.labels import RAVDESS
from ser_lightning.report.fairness import LEVEL, Fairness, fairness
from ser_lightning.report.fairness_tables import comparisons_table, groups_table, worst_table
from ser_lightning.report.predictions import ATTRIBUTES, read_predictions
from ser_lightning.report.tables import markdown

FOLDS = 6
COMMITTED = Path("results/dropout/speakers/dropout-p25")  # below docs/: runs of `corrected` by `make dropout`
SYSTEMS: Mapping[str, Sequence[str]] = {
    "encoder": ("experiment=encoder", "split=emobox", "split.refit=true"),
    "svm_egemaps": ("experiment=svm", "features=egemaps", "split=speaker"),
}
TITLES = {"svm_egemaps": "svm, eGeMAPS"}


def train(folder: Path, overrides: Sequence[str]) -> None:
    """Train all systems on all folds."""
    for name, system_words in SYSTEMS.items():
        for fold in range(FOLDS):
            words = [*system_words, "seed=0", f"output_root={folder.parent}", f"name={folder.name}"]
            call("ser-train", *words, f"split.fold={fold}", f"run_id={name}/fold-{fold}", *overrides)


def read_test_clips(folder: Path) -> pd.DataFrame:
    """Return the test predictions of all runs below a folder."""
    runs = sorted({path.parent for path in folder.rglob("predictions.csv*")})
    clips = pd.concat([read_predictions(run) for run in runs])
    return clips[clips.subset == "test"]


def compare(folder: Path, docs: Path) -> dict[str, Fairness]:
    """Return the metrics by group of every system."""
    folders = {"corrected": docs / COMMITTED, **{name: folder / name for name in SYSTEMS}}
    return {name: fairness(annotated(read_test_clips(path)), RAVDESS) for name, path in folders.items()}


def annotated(clips: pd.DataFrame) -> pd.DataFrame:
    """Return predictions on RAVDESS with the annotation of its file names, which predictions of older runs lack."""
    fields = [DEFINITIONS["ravdess"].parse(PurePath(f"{id_}.wav")) for id_ in clips.utterance]
    return clips.assign(**{name: [annotation.get(name, "") for annotation in fields] for name in ATTRIBUTES})


def answer(systems: Mapping[str, Fairness]) -> str:
    """Return the differences that remain after Holm's adjustment, as Markdown."""
    lines = []
    for title, system in systems.items():
        significant = system.comparisons[system.comparisons.p_holm.astype(float) < LEVEL]
        texts = [
            f"{row.group} {row.difference:+.1f} points against {row.others} (by {row.attribute})"
            if row.others
            else "single speakers differ"
            for row in significant.itertuples()
        ]
        lines.append(f"- `{title}`: {'; '.join(texts) or 'no difference'}.")
    return "\n".join(lines)


def page(results: Mapping[str, Fairness], *, command: str) -> str:
    """Return the page as Markdown."""
    systems = {TITLES.get(name, name): system for name, system in results.items()}
    details = "\n\n".join(
        f"<details><summary>All groups of {title}</summary>\n\n{markdown(groups_table(system))}\n\n"
        f"{markdown(comparisons_table(system))}\n\n</details>"
        for title, system in systems.items()
    )
    gender = results["encoder"].groups.query("attribute == 'gender'")
    clips = gender.clips.sum()
    return f"""# Fairness

`ser-report` (section *Fairness*, and `report.json`) and `MODEL_CARD.md` have the UAR by gender, speaker, age (under
18, 18 to 29, 30 to 44, 45 to 59, 60 or older), language, statement and intensity: of those that the corpus states and
of which the test clips have at least two values, and at most 100 except for speakers.

- The interval of a group is a studentized bootstrap over its speakers if there are at least 8. Otherwise it is
  Wilson's over clips, which takes the clips of a speaker as independent and is too narrow for other speakers. The
  column *over* says which.
- A group is compared with the other clips by a permutation test over speakers: where speakers are in both groups,
  clips of the same speaker, otherwise the speakers of one group with those of the other. Emotions that occur on one
  side only do not count. With so few speakers that no arrangement could reach p = 0.05, there is no test.
- Whether speakers differ more than clips do by chance is tested over clips (chi-squared).
- p-values are adjusted by Holm for all these tests of a system. A clip that several runs were tested on counts once.

## RAVDESS, unseen speakers

Differences of the UAR with p < {LEVEL} after Holm's adjustment:

{answer(systems)}

{markdown(worst_table(systems, title="system"))}

The group with the lowest UAR of each attribute. Age and language are missing: RAVDESS states no ages, and all is
English. Neutral clips have no strong intensity; in the comparison of intensities they do not count.

{details}

## Protocol

- Every one of the 24 speakers is tested once, by a model of the other folds: six folds of `split=speaker`, for
  `encoder` those of EmoBox (`split=emobox`, `split.refit=true`). The test clips of all folds are pooled, {clips} in
  all. Systems are not compared with each other here: their protocols differ.
- `corrected` is the mean of three seeds, 80 epochs (`make dropout`, sweep `speakers`, dropout 0.25); the others have
  seed 0.
- `generalist` is missing: at full length it needs a graphics processor.
- Differences between actors of one studio say little about differences between people: 12 women and 12 men of similar
  age, all from North America, who portray emotions in two sentences.

The numbers are in `results/fairness.json`. Made by `{command}`.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, and write the page."""
    study = read_page_command_line("fairness", __doc__, arguments)
    path = study.docs / "results" / "fairness.json"
    if not study.table:
        train(study.folder, study.overrides)
        write(path, compare(study.folder, study.docs))
    with write_atomically(study.docs / "fairness.md") as file:
        file.write(page(read(path), command=study.command))


def write(path: Path, systems: Mapping[str, Fairness]) -> None:
    """Write the tables of all systems as JSON."""
    tables = {
        name: {key: json.loads(t.to_json(orient="records")) for key, t in system._asdict().items()}
        for name, system in systems.items()
    }
    write_compact_json(path, tables)


def read(path: Path) -> dict[str, Fairness]:
    """Read the tables that :func:`write` wrote."""
    tables: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Fairness(**{key: pd.DataFrame(t, dtype=object) for key, t in content.items()})
        for name, content in tables.items()
    }


if __name__ == "__main__":
    exit_on_input_error("studies.fairness", main)
