"""What a run shows in TensorBoard beside its curves."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger

from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.evaluation import Predictions

EXAMPLES = 4


def write_scalars(logger: TensorBoardLogger, values: Mapping[str, float], *, step: int, time: float) -> None:
    """Write the figures of an epoch.

    Args:
        logger: of the run
        values: by tag
        step: optimizer steps taken, less one
        time: when the epoch ended, seconds since 1970

    """
    for tag, value in values.items():
        logger.experiment.add_scalar(tag, value, step, time)
    logger.save()


def write_summary(
    logger: TensorBoardLogger,
    result: Mapping[str, Any],
    figures: Mapping[str, Figure],
    *,
    data: SpeechDataModule,
    predictions: Predictions,
) -> None:
    """Write figures, hyper-parameters with the final metrics, and test clips to listen to.

    Args:
        logger: of the run
        result: as in ``result.json``
        figures: by tag
        data: the corpus and its audio
        predictions: of the test clips

    """
    writer = logger.experiment
    step = result["epochs"]
    for tag, figure in figures.items():
        writer.add_figure(tag, figure, step)
    finals = {
        f"final/{subset}_{name}": result["metrics"][subset][name]
        for subset in ("val", "test")
        for name in ("accuracy", "uar", "macro_f1")
    }
    for subset, value in (result.get("study_metric") or {}).items():
        writer.add_scalar(f"study_metric/{subset}", value, step)
    config = result["config"]
    values: dict[str, Any] = {"experiment": result["name"], "seed": config["seed"]}
    for part in ("dropout", "model", "features", "augment", "audio", "data", "optim", "evaluation"):
        values[part] = {key: value for key, value in config[part].items() if not key.startswith("_")}
    logger.log_hyperparams(values, finals)
    by_id = {utterance.id: utterance for utterance in data.preparation.utterances}
    ids, emotions = data.datasets["test"].utterances, result["emotions"]
    # Spread over the test set, which is in the order of its ids: of RAVDESS, in that of its emotions.
    for row in range(0, len(ids), -(-len(ids) // EXAMPLES)):
        target, heard = emotions[predictions.target[row]], emotions[predictions.prediction[row]]
        utterance = by_id[ids[row]]
        wave = data.preparation.audio.load(utterance.path, corpus=utterance.corpus).wave
        writer.add_audio(
            f"test/{ids[row]}: {target}, heard as {heard}", wave, step, sample_rate=data.preparation.audio.sampling_rate
        )
    logger.finalize("success")
