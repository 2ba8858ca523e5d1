"""``make labels``: plant label errors in a corpus and count how many of them ``ser-audit`` finds.

Errors are planted in two ways: the wrong label is any other emotion (``random``), or the one that the classifier of
other speakers finds most probable among the others (``confusable``).
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from sklearn.metrics import average_precision_score
from studies.study import exit_on_input_error

from ser_lightning.atomic import write_atomically
from ser_lightning.build import build_corpus, config_folder
from ser_lightning.label_errors import clip_vectors, held_out_probabilities, suspects
from ser_lightning.report.tables import markdown

# Features and their other overrides
FEATURES = {"functionals": (), "compare": (), "encoder": ("audio=untrimmed",)}
RATES = (0.05, 0.1)  # share of the clips whose label is replaced
KINDS = ("random", "confusable")
FOLDS, C = 5, 0.01  # those of conf/audit.yaml

Targets = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


def plant(targets: Targets, probabilities: Doubles, *, rate: float, kind: str, seed: int) -> tuple[Targets, Targets]:
    """Return labels with planted errors, and the clips that have one.

    Args:
        targets: (N,), index of the class of each clip
        probabilities: (N, classes), of a classifier that has not seen the clip
        rate: share of the clips to change
        kind: ``random`` or ``confusable``
        seed: seed of the choice

    """
    generator = np.random.default_rng(seed)
    clips = generator.choice(len(targets), size=round(rate * len(targets)), replace=False)
    others = (
        probabilities[clips].copy() if kind == "confusable" else generator.random((len(clips), probabilities.shape[1]))
    )
    others[np.arange(len(clips)), targets[clips]] = -1
    planted = targets.copy()
    planted[clips] = others.argmax(1)
    return planted, np.sort(clips)


def evaluate(ranking: Sequence[Any], probabilities: Doubles, labels: Targets, planted: Targets) -> dict[str, float]:
    """Return how well the planted errors are found.

    Args:
        ranking: the suspects, the most confident first
        probabilities: (N, classes), held out
        labels: (N,), the labels with errors
        planted: the clips with planted errors

    """
    true = np.zeros(len(labels), bool)
    true[planted] = True
    suspected = np.array([each.clip for each in ranking], dtype=np.int64)
    confidence = probabilities[np.arange(len(labels)), labels]
    rivals = probabilities.copy()
    rivals[np.arange(len(labels)), labels] = -1
    first = suspected[: len(planted)]
    return {
        "planted": len(planted),
        "suspects": len(ranking),
        "precision": float(true[suspected].mean()) if len(ranking) else 0.0,
        "recall": float(true[suspected].sum() / len(planted)),
        "precision_of_first": float(true[first].mean()) if len(first) else 0.0,
        "average_precision": float(average_precision_score(true, rivals.max(1) - confidence)),
    }


def measure(overrides: Sequence[str], *, features: str, seeds: int) -> dict[str, Any]:
    """Return the results of one kind of features."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose(
            "train", overrides=["run_id=labels", f"features={features}", *FEATURES[features], *overrides]
        )
        config: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # type: ignore[assignment]
    corpus = build_corpus(config["corpus"])
    utterances, vectors = clip_vectors(config, emotions=corpus.emotions)
    targets = np.array([corpus.emotions.index(utterance.emotion) for utterance in utterances])
    speakers = [utterance.speaker or "" for utterance in utterances]
    clean = held_out_probabilities(vectors, targets, speakers, folds=FOLDS, c=C)
    rows = []
    for kind in KINDS:
        for rate in RATES:
            for seed in range(seeds):
                labels, planted = plant(targets, clean, rate=rate, kind=kind, seed=seed)
                shares = held_out_probabilities(vectors, labels, speakers, folds=FOLDS, c=C)
                figures = evaluate(suspects(shares, labels), shares, labels, planted)
                rows.append({"kind": kind, "rate": rate, "seed": seed, **figures})
    published = suspects(clean, targets)
    return {
        "clips": len(targets),
        "features": vectors.shape[1],
        "uar": float(np.mean([np.mean(clean[targets == n].argmax(1) == n) for n in range(clean.shape[1])])),
        "published_suspects": len(published),
        "planted": rows,
    }


def table(results: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate the results as means over seeds with their standard deviation, in percent."""
    rows = []
    for features, result in results.items():
        for (kind, rate), group in pd.DataFrame(result["planted"]).groupby(["kind", "rate"], sort=False):
            numbers = {
                title: f"{100 * group[key].mean():.0f} ± {100 * group[key].std():.0f}"
                for title, key in (
                    ("precision", "precision"),
                    ("recall", "recall"),
                    ("precision of as many as planted", "precision_of_first"),
                    ("average precision", "average_precision"),
                )
            }
            sizes = {"planted": str(group.planted.iloc[0]), "suspects": f"{group.suspects.mean():.0f}"}
            rows.append({"features": features, "errors": f"{kind}, {100 * rate:.0f} %", **sizes, **numbers})
    return pd.DataFrame(rows)


def conclusion(results: Mapping[str, Any]) -> str:
    """Return what the study says about the choice of features."""
    rate = min(row["rate"] for result in results.values() for row in result["planted"])
    means = {
        name: pd.DataFrame([row for row in result["planted"] if row["rate"] == rate])[["precision", "recall"]].mean()
        for name, result in results.items()
    }
    best = max(means, key=lambda name: means[name].precision)
    precision, recall = (f"{100 * value:.0f} %" for value in means[best])
    return (
        f"The list is as good as the classifier. With `features={best}` and errors in {100 * rate:.0f} % of the\n"
        f"clips, {precision} of the suspects are planted errors, and {recall} of the planted errors are\n"
        "suspected, over both kinds."
    )


def page(results: Mapping[str, Any], *, corpus: str, seeds: int) -> str:
    """Return the page of the study."""
    clean = pd.DataFrame(
        [
            {
                "features": name,
                "vector": str(result["features"]),
                "UAR of the classifier (%)": f"{100 * result['uar']:.1f}",
                "suspects among the published labels": f"{result['published_suspects']} of {result['clips']}",
            }
            for name, result in results.items()
        ]
    )
    return PAGE.format(
        corpus=corpus,
        seeds=seeds,
        conclusion=conclusion(results),
        clean=markdown(clean),
        table=markdown(table(results)),
        folds=FOLDS,
        c=C,
    )


PAGE = """# Label errors

`ser-audit` lists clips whose label may be wrong:

```sh
ser-audit corpus=emodb features=encoder audio=untrimmed labels.output=suspects.csv
```

A logistic regression is trained on {folds} folds of speakers (`labels.folds`, `labels.c={c}`), on the features of
each clip or the mean and deviation of its frames, so that each clip is predicted by a classifier of other speakers.
The rule is that of confident learning (Northcutt et al. 2021): a class is confident for a clip if its probability
reaches the mean probability that clips with this label get for it, and a clip is suspected if its most probable
confident class is not its label. The file is sorted by the difference of the two probabilities.

A suspect is a clip to listen to, not an error. The tables show how many suspects are errors, with errors planted in
`corpus={corpus}`.

## The published labels

{clean}

## Planted errors

`random` replaces the label by any other emotion, `confusable` by the one that the classifier confuses the clip with
most easily. Percent, mean ± standard deviation over {seeds} seeds. Precision is the share of suspects with a
planted error, recall the share of planted errors that are suspected. The next column is the precision among the
first suspects, as many as there are planted errors. The average precision is of the order of all clips by the
difference of the probabilities; by chance it would be the share of planted errors. The published labels count as
right, so real errors in them lower the precision.

{table}

{conclusion}

Made by `make labels` with {seeds} seeds; [results/label_errors.json](results/label_errors.json) has every number.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study and write the page."""
    parser = argparse.ArgumentParser(prog="python -m studies.label_errors", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("folder", type=Path, help="folder for label_errors.json and label_errors.md")
    parser.add_argument("--seeds", type=int, required=True, help="number of times that errors are planted")
    parser.add_argument("--docs", type=Path, help="additional folder for the page, such as docs")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides, such as corpus=emodb")
    parsed = parser.parse_intermixed_args(arguments)
    results = {name: measure(parsed.overrides, features=name, seeds=parsed.seeds) for name in FEATURES}
    corpus = next((word.partition("=")[2] for word in parsed.overrides if word.startswith("corpus=")), "the corpus")
    text = page(results, corpus=corpus, seeds=parsed.seeds)
    content = json.dumps(results, indent=1, allow_nan=False) + "\n"
    targets = [(parsed.folder / "label_errors.md", parsed.folder / "results" / "label_errors.json")]
    if parsed.docs is not None:
        targets.append((parsed.docs / "label_errors.md", parsed.docs / "results" / "label_errors.json"))
    for markdown_path, json_path in targets:
        for path, written in ((markdown_path, text), (json_path, content)):
            with write_atomically(path) as file:
                file.write(written)
    print(targets[-1][0])


if __name__ == "__main__":
    exit_on_input_error("labels", main)
