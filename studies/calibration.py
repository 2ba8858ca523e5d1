"""``make calibration``: are probabilities right, and what do ``unsure`` and sets of emotions achieve on new speakers?

Each system is trained under three protocols, which differ in whom the validation and the test clips are of: validation
clips that are exchangeable with the test clips (a random split, both of training speakers); validation and test
speakers who are both unseen (EmoBox's folds); and validation clips of training speakers with unseen test speakers.
Finished runs are skipped on a rerun.
"""

import csv
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binom
from studies.study import call, exit_on_input_error, read_page_command_line

from ser_lightning.atomic import write_atomically
from ser_lightning.calibration.calibration import COVERAGE
from ser_lightning.report.calibration_figures import draw_reliability, draw_risk_coverage
from ser_lightning.report.figures import save
from ser_lightning.report.tables import markdown

# Systems and their overrides; a graphics processor would round differently.
SYSTEMS = {"corrected": ("trainer.accelerator=cpu",), "encoder": ()}
FOLDS = (0, 3)
RANDOM = "validation and test clips of training speakers"
UNSEEN = "validation and test speakers unseen"
MIXED = "validation clips of training speakers, test speakers unseen"
SHARE = 0.2  # share of the clips of the training speakers that MIXED validates on
RISK = ("0.1", "0.2", "0.3")


def run_ids(system: str) -> dict[str, list[str]]:
    """Return protocol -> run ids of a system."""
    return {
        RANDOM: [f"{system}/random"],
        UNSEEN: [f"{system}/emobox-{fold}" for fold in FOLDS],
        MIXED: [f"{system}/seen-{fold}" for fold in FOLDS],
    }


def train(folder: Path, overrides: Sequence[str]) -> None:
    """Train all systems under all protocols."""
    for system, system_words in SYSTEMS.items():
        words = [f"experiment={system}", *system_words, "seed=0", f"output_root={folder.parent}", f"name={folder.name}"]
        words += overrides
        call("ser-train", *words, "split=random", f"run_id={system}/random")
        for fold in FOLDS:
            name = f"{system}/emobox-{fold}"
            call("ser-train", *words, "split=emobox", f"split.fold={fold}", f"run_id={name}")
            path = folder / f"seen-{fold}.csv"
            write_mixed_split(folder / name / "split.csv", path)
            call("ser-train", *words, "split=file", f"split.path={path}", f"run_id={system}/seen-{fold}")


def write_mixed_split(source: Path, target: Path) -> None:
    """Write a split with the same test clips, whose validation clips are a random fifth of all others."""
    rows = list(csv.DictReader(source.read_text(encoding="utf-8").splitlines()))
    others = sorted(row["utterance"] for row in rows if row["subset"] != "test")
    validation = set(random.Random(0).sample(others, round(SHARE * len(others))))  # noqa: S311 - not for security
    with write_atomically(target) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["utterance", "subset"])
        for row in rows:
            subset = "test" if row["subset"] == "test" else "val" if row["utterance"] in validation else "train"
            writer.writerow([row["utterance"], subset])


def tables(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, pd.DataFrame]:
    """Return the tables of the page.

    Args:
        results: protocol -> run id -> result

    """
    rows: dict[str, list[dict[str, str]]] = {"calibration": [], "rejection": [], "sets": []}
    for protocol, runs in results.items():
        for name, result in runs.items():
            section = result["calibration"]
            test, first = section["test"], {"run": name, "protocol": protocol}
            rows["calibration"].append(
                first
                | {"test accuracy (%)": f"{100 * result['metrics']['test']['accuracy']:.1f}"}
                | {"temperature": f"{section['fitted']['temperature']:.2f}"}
                | {
                    f"{title} {stage}": f"{scale * test[stage][key]:.{digits}f}"
                    for key, title, scale, digits in (("ece", "ECE (%)", 100, 1), ("nll", "NLL", 1, 2))
                    for stage in ("before", "after")
                }
            )
            rows["rejection"].append(
                first
                | {"reject 0": f"{100 - 100 * result['metrics']['test']['accuracy']:.1f}"}
                | {
                    f"reject {share}": f"{100 * test['reject'][share]['error']:.1f}"
                    f" ({100 * test['reject'][share]['rejected']:.0f} % unsure)"
                    for share in RISK
                }
                | {"AURC": f"{test['aurc']:.3f}"}
            )
            clips = result["counts"]["test"]
            low, high = (100 * edge / clips for edge in binom.interval(0.95, clips, COVERAGE))
            covered = 100 * test["sets"]["coverage"]
            rows["sets"].append(
                first
                | {
                    "covered (%)": f"{covered:.1f}",
                    "less than 90 % by (points)": f"{100 * COVERAGE - covered:z.1f}",
                    "expected of exchangeable clips (%)": f"{low:.1f} to {high:.1f}",
                    "emotions in a set": f"{test['sets']['size']:.2f}",
                }
            )
    return {key: pd.DataFrame(value) for key, value in rows.items()}


def page(results: Mapping[str, Mapping[str, Mapping[str, Any]]], *, command: str) -> str:
    """Return the page as Markdown."""
    page_tables = tables(results)
    first = next(iter(results[RANDOM].values()))
    commits = sorted({str((r["git"] or {}).get("commit"))[:12] for runs in results.values() for r in runs.values()})
    return f"""# Calibration on known and on new speakers

[calibration.md](calibration.md) explains the terms. Corpus: {first["corpus"]["name"]}. `random` splits the clips at
random, so that validation and test clips are exchangeable. `emobox` has other speakers for training, validation and
test (folds {" and ".join(map(str, FOLDS))}). `seen` has the test speakers of `emobox` and validates on a random fifth
of all other clips, which are of training speakers.

## Calibration error

{markdown(page_tables["calibration"])}

ECE: expected calibration error, 15 bins of equal mass. NLL: mean negative log-likelihood. All on test clips.

![Reliability before calibration](figures/calibration-before.png)
![Reliability after calibration](figures/calibration-after.png)

Test clips of the `emobox` folds.

## Errors when the least certain answers are left out

{markdown(page_tables["rejection"])}

Percent of wrong answers among the test clips that are answered. The threshold of each column leaves that share of the
validation clips unanswered; in brackets the share of the test clips that it leaves unanswered. AURC: area under the
risk-coverage curve.

![Risk and coverage](figures/calibration-risk.png)

## Sets of emotions

{markdown(page_tables["sets"])}

Sets are made for a coverage of {100 * COVERAGE:.0f} % of clips that are exchangeable with the validation clips. The
expected range is that of 95 % of test sets of this size, if the bound of the sets were exact.

Made by `{command}` at commit {", ".join(commits)}.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, and write the page."""
    study = read_page_command_line("calibration", __doc__, arguments)
    if not study.table:
        train(study.folder, study.overrides)
    results: dict[str, dict[str, Any]] = {RANDOM: {}, UNSEEN: {}, MIXED: {}}
    for system in SYSTEMS:
        for protocol, names in run_ids(system).items():
            for name in names:
                path = study.folder / name / "result.json"
                results[protocol][name] = json.loads(path.read_text(encoding="utf-8"))
    unseen = {
        system: [results[UNSEEN][name]["calibration"]["test"] for name in run_ids(system)[UNSEEN]] for system in SYSTEMS
    }
    figures = study.docs / "figures"
    save(draw_reliability(unseen, "before"), figures / "calibration-before.png")
    save(draw_reliability(unseen, "after"), figures / "calibration-after.png")
    save(draw_risk_coverage(unseen), figures / "calibration-risk.png")
    with write_atomically(study.docs / "calibration_results.md") as file:
        file.write(page(results, command=study.command))


if __name__ == "__main__":
    exit_on_input_error("studies.calibration", main)
