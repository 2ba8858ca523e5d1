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
    parts = ("dropout", "model", "features", "augment", "audio", "data", "optim", "scheduler", "loss", "evaluation")
    for part in parts:
        values[part] = {key: value for key, value in config[part].items() if not key.startswith("_")}
    logger.log_hyperparams(values, finals)
    by_id = {utterance.id: utterance for utterance in data.preparation.utterances}
    emotions = result["emotions"]
    clips = [(row, id_) for row, (id_, copy) in enumerate(data.preparation.members["test"]) if not copy]
    # Spread over the test set, which is in the order of its ids: of RAVDESS, in that of its emotions.
    for row, id_ in clips[:: -(-len(clips) // EXAMPLES) or 1]:
        target, heard = emotions[predictions.target[row]], emotions[predictions.prediction[row]]
        wave = data.preparation.audio.load(by_id[id_].path, corpus=by_id[id_].corpus).wave
        writer.add_audio(
            f"test/{id_}: {target}, heard as {heard}", wave, step, sample_rate=data.preparation.audio.sampling_rate
        )
    logger.finalize("success")
