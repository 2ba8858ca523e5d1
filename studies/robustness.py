"""``make robustness``: what do noise, codecs and rooms cost on unseen speakers, and which augmentation helps?

Systems and augmentations are trained on EmoBox's folds of RAVDESS, and their test recordings are evaluated again under
conditions of recording. Finished runs and levels are skipped on a rerun.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from studies.study import call, exit_on_input_error, read_page_command_line, write_compact_json

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.bootstrap import FEWEST, cluster_interval
from ser_lightning.report.figures import save
from ser_lightning.report.robustness import pool_counts, pool_runs, read_robustness, robustness_table
from ser_lightning.report.robustness_figures import draw_robustness
from ser_lightning.report.tables import interval_text, markdown

FOLDS = (0,)
CPU = "trainer.accelerator=cpu"  # a graphics processor would round differently
CORRECTED = ("experiment=corrected", "trainer.max_epochs=30", CPU)
# On a CPU with half precision; its optimizer is not fused, because Lightning could not clip then.
GENERALIST = (
    "experiment=generalist",
    "trainer.max_epochs=40",
    "trainer.precision=bf16-mixed",
    "optim.fused=false",
    CPU,
)
SYSTEMS: Mapping[str, Sequence[str]] = {
    "corrected-paper": (*CORRECTED, "augment=paper"),
    "generalist": GENERALIST,
    "encoder": ("experiment=encoder",),
    "svm_egemaps": ("experiment=svm", "features=egemaps"),
}
BASELINE = "corrected-none"
AUGMENTATIONS: Mapping[str, Sequence[str]] = {
    f"corrected-{name}": (*CORRECTED, f"augment={name}") for name in ("none", "paper", "snr")
}
TITLES = {"corrected-paper": "corrected", "svm_egemaps": "svm, eGeMAPS"}
LEVELS: Mapping[str, Sequence[float]] = {
    "white_noise": (20, 10),
    "babble": (10,),
    "quiet": (-40,),
    "telephone": (3400,),
    "gsm": (13,),
    "mp3": (16,),
    "opus": (8,),
    "room": (1.0,),
    "fast": (1.25,),
    "slow": (0.8,),
    "silence": (2,),
    "truncation": (1,),
}
Runs = Mapping[str, Sequence[Mapping[str, Any]]]  # arm -> robustness.json of each fold


def measure(folder: Path, overrides: Sequence[str]) -> None:
    """Train all systems and augmentations, and evaluate them under all conditions."""
    chosen = [word for name in LEVELS for word in ("--condition", name)]
    levels = [f"robustness.conditions.{name}.levels=[{','.join(map(str, values))}]" for name, values in LEVELS.items()]
    for fold in FOLDS:
        for arm, arm_words in {**SYSTEMS, **AUGMENTATIONS}.items():
            words = [*arm_words, "seed=0", f"output_root={folder.parent}", f"name={folder.name}", *overrides]
            call("ser-train", *words, "split=emobox", f"split.fold={fold}", f"run_id={arm}/fold-{fold}")
            settings = [word for level in levels for word in ("--set", level)]
            call("ser-evaluate", str(folder / arm / f"fold-{fold}"), "--robustness", *chosen, *settings)


def collect(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the results of the arms that have all folds, without paths of this machine."""
    arms: dict[str, list[dict[str, Any]]] = {}
    for arm in {**SYSTEMS, **AUGMENTATIONS}:
        results = [read_robustness(folder / arm / f"fold-{fold}") for fold in FOLDS]
        if None not in results:
            arms[arm] = [run for run in results if run]
    return arms


def differences(runs: Runs, arm: str) -> pd.DataFrame:
    """Return the difference of an augmentation from none at every level, in points with its interval over speakers."""
    first, second = runs[arm], runs[BASELINE]
    names = sorted({speaker for run in first for speaker in run["speakers"]})
    rows = []
    for name, number, label in _levels(first[0]):
        sides = [
            pool_counts(arm_runs, [_entry(run, name, number) for run in arm_runs], names) * [[100.0], [1.0]]
            for arm_runs in (first, second)
        ]
        change = cluster_interval(sides[0], sides[1], draws=2000)
        interval = "" if change.interval is None else f" ({interval_text(*change.interval)})"
        rows.append({"condition": label, f"{_title(arm)} - none": f"{change.mean:+z.1f}{interval}"})
    return pd.DataFrame(rows)


def _levels(run: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """Return condition, number of the level and label, first that without a condition."""
    levels = [("", 0, "none")]
    for name, section in run["conditions"].items():
        for number, level in enumerate(section["levels"]):
            levels.append((name, number, f"{name.replace('_', ' ')}, {level['level']:g} {section['unit']}"))
    return levels


def _entry(run: Mapping[str, Any], name: str, number: int) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = run["conditions"][name]["levels"][number] if name else run["clean"]
    return entry


def _title(arm: str) -> str:
    return TITLES.get(arm, arm.removeprefix("corrected-")) if arm != "corrected-paper" else "paper"


def augmentation_table(runs: Runs) -> pd.DataFrame:
    """Tabulate the UAR without augmentation, and what each augmentation changes at every level."""
    base = pool_runs(runs[BASELINE])
    table = pd.DataFrame({"condition": [label for *_, label in _levels(runs[BASELINE][0])]})
    table["UAR (%) of none"] = base.uar.map("{:.1f}".format)
    for arm in AUGMENTATIONS:
        if arm in runs and arm != BASELINE:
            table = table.merge(differences(runs, arm), on="condition")
    return table


def worst_table(runs: Runs) -> pd.DataFrame:
    """Tabulate the five conditions that cost each system most."""
    rows = []
    for arm in SYSTEMS:
        if arm in runs:
            table = pool_runs(runs[arm])
            cells = [
                f"{row.condition.replace('_', ' ')} {row.level} {row.unit} ({row.change:+z.1f})"
                for row in table.sort_values("change").head(5).itertuples()
            ]
            system = {"system": TITLES.get(arm, arm), "UAR (%)": f"{table.uar[0]:.1f}"}
            rows.append(system | {f"{number}.": cell for number, cell in enumerate(cells, 1)})
    return pd.DataFrame(rows)


def page(runs: Runs, *, command: str, figures: Sequence[str]) -> str:
    """Return the page as Markdown."""
    systems = {TITLES.get(arm, arm): pool_runs(runs[arm]) for arm in SYSTEMS if arm in runs}
    first = next(iter(runs.values()))
    speakers = sum(len(run["speakers"]) for run in first)
    clips = sum(run["clips"] for run in first)
    images = "\n".join(f"![UAR by condition of recording](figures/{name})" for name in figures)
    enough = speakers >= FEWEST
    bands = f"; bands: 95 % over {speakers} speakers" if enough else f" of {clips} clips of {speakers} speakers"
    over = f"with its 95 % interval over {speakers} speakers" if enough else f"on {clips} clips of {speakers} speakers"
    conditions = len(runs[BASELINE][0]["conditions"])
    lacking = [arm for arm in {**SYSTEMS, **AUGMENTATIONS} if arm not in runs]
    missing = f"\n- Not measured yet: {', '.join(lacking)}." if lacking else ""
    return f"""# Robustness

A test set of one studio says nothing of a telephone, a quiet voice or a noisy room. `ser-evaluate RUN --robustness`
evaluates the test recordings of any finished run again under conditions of recording:

```sh
ser-evaluate outputs/corrected/dropout-p25/seed-0 --robustness
ser-evaluate outputs/corrected/dropout-p25/seed-0 --robustness --noise /data/demand --rooms /data/impulse_responses
ser-report outputs/corrected
```

Noise (white, babble of other speakers of the corpus, recordings of yours), gain, clipping, limited bandwidth, codecs
(mu-law, GSM, MP3, Opus), reverberation (synthetic, or impulse responses of yours), speed, silence around the
recording, and truncation are applied to the recording itself, before speech is detected and features are computed.
Every level, its unit and its seed is a value of `conf/robustness.yaml`: `--condition babble` chooses a condition,
`--set 'robustness.conditions.babble.levels=[20,10]'` changes its levels. The result is `robustness.json` beside
`result.json`; `ser-report` and `MODEL_CARD.md` draw and tabulate it. Levels that the file has are not computed again.

## What each condition costs

{markdown(worst_table(runs))}

The five levels with the largest change of the UAR, in points, of those below. Only `corrected` cuts silence by voice
activity detection (`audio=webrtc`); the others take recordings as they are (`audio=untrimmed`), with the silence.

{images}

UAR{bands}; dashed: chance.

<details><summary>All levels</summary>

{markdown(robustness_table(systems))}

</details>

## Which augmentation helps

{markdown(augmentation_table(runs))}

`corrected` with each augmentation of the training clips (conf/augment): difference from no augmentation in points of
UAR, {over}. One seed and {conditions} conditions: another seed alone changes a result by several points,
and among so many differences some are large by chance. This is a hint where to look, not a finding.

## Protocol

- RAVDESS, fold {" and ".join(map(str, FOLDS))} of EmoBox (`split=emobox`), whose test speakers are in neither
  training nor validation: {clips} test clips of {speakers} speakers, seed 0.
- `corrected` and its augmentations were trained for 30 epochs instead of 80, with the checkpoint of the best
  validation UAR.
- `generalist` was trained for 40 epochs instead of 100, with bfloat16 products (`trainer.precision=bf16-mixed`),
  because an epoch takes a minute on a CPU. Its checkpoint is the last.
- Signal-to-noise ratios are those of whole recordings, with the pauses at their ends; that of the speech alone is
  higher.
- Intervals are studentized bootstraps over speakers, with at least {FEWEST} speakers; with fewer there is none.
- Nothing was chosen by these results.{missing}

The numbers are in `results/robustness.json`. Made by `{command}`.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and evaluate what is missing, and write the page."""
    study = read_page_command_line("robustness", __doc__, arguments)
    path = study.docs / "results" / "robustness.json"
    if not study.table:
        measure(study.folder, study.overrides)
        write(path, collect(study.folder))
    write_page(json.loads(path.read_text(encoding="utf-8")), study.docs, command=study.command)


def write(path: Path, runs: Runs) -> None:
    """Write the results of all arms as compact JSON.

    Raises:
        InputError: an arm that the page needs is missing

    """
    if BASELINE not in runs:
        raise InputError(f"{BASELINE} has no results of all folds; run the study without --table")
    write_compact_json(path, runs)


def write_page(runs: Runs, docs: Path, *, command: str) -> None:
    """Write the page and its figures."""
    tables = {TITLES.get(arm, arm): pool_runs(runs[arm]) for arm in SYSTEMS if arm in runs}
    chance = 100 / len(runs[BASELINE][0]["emotions"])
    names = []
    for number, figure in enumerate(draw_robustness(tables, chance=chance), 1):
        names.append(f"robustness-{number}.png")
        save(figure, docs / "figures" / names[-1])
    with write_atomically(docs / "robustness.md") as file:
        file.write(page(runs, command=command, figures=names))


if __name__ == "__main__":
    exit_on_input_error("studies.robustness", main)
