"""Model card of a run: YAML metadata as model hubs read them, and a page in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
import yaml
from statsmodels.stats.proportion import proportion_confint

from ser_lightning.metrics import METRICS
from ser_lightning.report.answer import SYNTHETIC
from ser_lightning.report.bootstrap import metric_interval
from ser_lightning.report.contrasts import speaker_counts
from ser_lightning.report.fairness import fairness
from ser_lightning.report.fairness_tables import comparisons_table, groups_table, worst_table
from ser_lightning.report.render import render_markdown
from ser_lightning.report.robustness import pool_runs, robustness_table
from ser_lightning.report.statistics import CONFIDENCE
from ser_lightning.report.tables import NOTHING, interval_text

SEVERITIES = ("leak", "shared", "corpus error", "unchecked")


def model_card(
    result: Mapping[str, Any],
    predictions: pd.DataFrame,
    *,
    corpora: Mapping[str, Mapping[str, str]],
    languages: Sequence[str],
    robustness: Mapping[str, Any] | None = None,
) -> str:
    """Return the model card of a run as text.

    Args:
        result: content of ``result.json``, with test metrics
        predictions: its predictions, see :func:`ser_lightning.read_predictions`
        corpora: name -> title, license and source of each corpus, as far as they are known
        languages: languages of the corpora, as far as they are known
        robustness: content of ``robustness.json``; None if there is none

    """
    emotions = list(result["emotions"])
    test = predictions[predictions.subset == "test"]
    encoder = result["encoder"]
    group_results = fairness(test, emotions)
    text = render_markdown(
        "model_card.md.j2",
        {},
        result=result,
        corpora=corpora,
        emotions=emotions,
        speakers=test.speaker[test.speaker != ""].nunique(),
        synthetic=SYNTHETIC if "synthetic" in result["corpus"]["name"].lower() else "",
        metrics=metrics_table(result, predictions),
        recall=recall_table(result),
        worst=worst_table({"": group_results}),
        worst_of_many=False,
        robustness=None if robustness is None else robustness_table({"": pool_runs([robustness])}),
        many=False,
        groups=groups_table(group_results),
        comparisons=comparisons_table(group_results),
        calibration=result["calibration"],
        calibrated=calibration_table(result["calibration"]),
        rejection=rejection_table(result["calibration"]),
        conditions=conditions_table(result["training_data"]),
        encoder=None if encoder is None else {**encoder, "name": PurePath(str(encoder["name"])).name},
        findings=sorted(
            (finding for finding in result["audit"]["findings"] if finding["found"]),
            key=lambda finding: SEVERITIES.index(finding["severity"]),
        ),
        fold=result["config"]["split"].get("fold"),
    )
    metadata = yaml.safe_dump(front_matter(result, languages=languages), sort_keys=False, allow_unicode=True)
    return f"---\n{metadata}---\n\n{text}"


def front_matter(result: Mapping[str, Any], *, languages: Sequence[str]) -> dict[str, Any]:
    """Return the metadata of a model hub, with the test metrics."""
    corpora = result["corpus"]["name"].split("+")
    dataset = {"name": result["corpus"]["name"], "type": result["corpus"]["name"], "split": "test"}
    metrics = [
        {"type": name, "name": metric.title, "value": round(result["metrics"]["test"][name], 4)}
        for name, metric in METRICS.items()
        if name in result["metrics"]["test"]
    ]
    task = {"type": "audio-classification", "name": "speech emotion recognition"}
    return {
        **({"language": list(languages)} if languages else {}),
        "license": "other",
        "license_name": "terms-of-the-training-corpora",
        "library_name": "ser_lightning",
        "pipeline_tag": "audio-classification",
        "tags": ["audio", "speech", "speech-emotion-recognition"],
        "datasets": corpora,
        "metrics": [metric["type"] for metric in metrics],
        "model-index": [
            {
                "name": f"{result['name']}/{result['run_id']}",
                "results": [{"task": task, "dataset": dataset, "metrics": metrics}],
            }
        ],
    }


def metrics_table(result: Mapping[str, Any], predictions: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the metrics of the evaluated subsets in percent, with intervals over clips and over speakers."""
    emotions = tuple(result["emotions"])
    rows = []
    for subset in ("val", "test"):
        clips = predictions[predictions.subset == subset]
        if clips.empty:
            continue
        correct = int((clips.target == clips.prediction).sum())
        low, high = proportion_confint(correct, len(clips), alpha=1 - CONFIDENCE, method="wilson")
        counts = speaker_counts(clips.sort_values("speaker"), emotions)
        for name, metric in METRICS.items():
            over_clips = interval_text(100 * low, 100 * high) if name == "accuracy" else NOTHING
            interval = metric_interval(counts, metric).interval
            over_speakers = NOTHING if interval is None else interval_text(*interval)
            rows.append(
                {
                    "subset": subset,
                    "clips": str(len(clips)),
                    "metric": metric.title,
                    "%": f"{100 * result['metrics'][subset][name]:.1f}",
                    "95 % over clips": over_clips,
                    "95 % over speakers": over_speakers,
                }
            )
    return pd.DataFrame(rows)


def recall_table(result: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate the recall of each emotion on the test clips, and how many there are."""
    recall = result["per_class_recall"]["test"]
    clips = np.sum(result["confusion_matrix"]["test"], axis=1)
    return pd.DataFrame(
        [
            {
                "emotion": emotion,
                "test clips": str(count),
                "recall (%)": NOTHING if recall[emotion] is None else f"{100 * recall[emotion]:.1f}",
            }
            for emotion, count in zip(result["emotions"], clips, strict=True)
        ]
    )


def calibration_table(section: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate the measures of the probabilities before and after calibration."""
    names = {"ece": "ECE", "brier": "Brier score", "nll": "negative log-likelihood"}
    return pd.DataFrame(
        [
            {
                "subset": subset,
                "measure": title,
                "before": f"{section[subset]['before'][name]:.3f}",
                "after": f"{section[subset]['after'][name]:.3f}",
            }
            for subset in ("val", "test")
            if subset in section
            for name, title in names.items()
        ]
    )


def rejection_table(section: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate the error on the test clips when the model may answer ``unsure``."""
    return pd.DataFrame(list(_rejections(section)))


def _rejections(section: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for share, rejection in section.get("test", {}).get("reject", {}).items():
        error = NOTHING if rejection["error"] is None else f"{100 * rejection['error']:.1f}"
        yield {
            "--reject": share,
            "test clips answered unsure (%)": f"{100 * rejection['rejected']:.1f}",
            "errors among the others (%)": error,
        }


def conditions_table(training_data: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate the conditions of recording of the training clips."""
    names = {
        "seconds": "duration (s)",
        "rms_db": "level (dBFS)",
        "snr_db": "signal-to-noise ratio (dB)",
        "highest_hz": "highest frequency (Hz)",
    }
    return pd.DataFrame(
        [
            {
                "training clips": title,
                **{
                    head: f"{training_data['quantiles'][key][q]:.{1 if key == 'seconds' else 0}f}"
                    for q, head in (("p1", "1 %"), ("p50", "median"), ("p99", "99 %"))
                },
            }
            for key, title in names.items()
        ]
    )
