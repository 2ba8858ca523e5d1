"""Write the summary of a finished run to its loggers."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from omegaconf import OmegaConf
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from ser_lightning.data.datamodule import SpeechDataModule
from ser_lightning.evaluation import Predictions
from ser_lightning.metrics import METRICS

FINAL = "when_done"  # group of the final values; TensorBoard sorts it after the curves of train and val
EXAMPLES = 4  # number of test clips logged as audio
# Config keys that every run logs as hyperparameters.
MAIN = (
    "seed",
    "dropout.p",
    "optim.lr",
    "optim.weight_decay",
    "data.batch_size",
    "trainer.max_epochs",
    "loss.label_smoothing",
    "split.fold",
    "evaluation.training_mode",
)
# Config groups whose chosen option is logged as a hyperparameter.
PLACES = {"root", "feature_cache", "feature_workers", "workers"}  # last words of keys that do not affect results
GROUPS = ("corpus", "split", "features", "model", "augment")


def write_summary(
    loggers: Sequence[Logger],
    result: Mapping[str, Any],
    figures: Mapping[str, Figure],
    *,
    data: SpeechDataModule,
    predictions: Predictions | None,
) -> None:
    """Write hyperparameters, final metrics, figures and example test clips to each logger that supports them.

    Args:
        loggers: loggers of the run
        result: content of ``result.json``
        figures: name -> figure
        data: data module with the corpus and its audio
        predictions: predictions on the test clips, from which the examples are taken; None for no examples

    """
    step = int(result.get("steps", 1)) - 1  # matches Lightning's step number of the last epoch
    final = {
        f"{FINAL}/{subset}_{name}": result["metrics"][subset][name]
        for subset in ("val", "test")
        if subset in result["metrics"]
        for name in METRICS
    } | {f"{FINAL}/{subset}_study_metric": value for subset, value in (result.get("study_metric") or {}).items()}
    final |= _final_calibration(result)
    clips = [] if predictions is None else list(_clips(result, data, predictions))
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(hyperparameters(result), final)
            for name, figure in figures.items():
                logger.experiment.add_figure(f"{FINAL}/{name}", figure, step)
            for title, wave, rate in clips:
                logger.experiment.add_audio(f"test/{title}", wave, step, sample_rate=rate)
        else:
            logger.log_hyperparams(hyperparameters(result))
            logger.log_metrics(final, step)
        if isinstance(logger, WandbLogger):
            import wandb

            audio = {f"test/{title}": wandb.Audio(wave, sample_rate=rate) for title, wave, rate in clips}
            logger.experiment.log({f"{FINAL}/{name}": wandb.Image(figure) for name, figure in figures.items()} | audio)
        if isinstance(logger, MLFlowLogger):
            for name, figure in figures.items():
                logger.experiment.log_figure(logger.run_id, figure, f"{name}.png")
        logger.finalize("success")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()


def _final_calibration(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the measures of the calibrated probabilities by the names under which they are logged."""
    section = result.get("calibration", {})
    return {
        f"{FINAL}/{subset}_{name}": value
        for subset in ("val", "test")
        if subset in section
        for name, value in section[subset]["after"].items()
    }


def hyperparameters(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the main hyperparameters of a run, and all keys changed on its command line, with their values."""
    config = OmegaConf.create(dict(result["config"]))
    values: dict[str, Any] = {"experiment": result["name"]}
    values |= {group: result["choices"].get(group) for group in GROUPS}
    changed = [word.lstrip("+").partition("=")[0] for word in result["overrides"]]
    for key in (*MAIN, *(key for key in changed if key not in GROUPS and not _is_place(key))):
        with suppress(Exception):  # the config does not contain groups, or keys with a package, under this name
            value = OmegaConf.select(config, key)
            if value is not None and not OmegaConf.is_dict(value):
                values[key] = str(value) if OmegaConf.is_list(value) else value
    return values


def _is_place(key: str) -> bool:
    """Return whether a key only configures locations or workers."""
    return key in {"name", "run_id", "output_root", "folder"} or key.rpartition(".")[2] in PLACES


def _clips(result: Mapping[str, Any], data: SpeechDataModule, predictions: Predictions) -> Any:
    """Yield title, waveform and sampling rate of a few test clips."""
    preparation, emotions = data.preparation, result["emotions"]
    by_id = {utterance.id: utterance for utterance in preparation.utterances}
    rows = [(row, id_) for row, (id_, copy) in enumerate(preparation.members["test"]) if not copy]
    # Evenly spaced over the test set, which is sorted by id (for RAVDESS, by emotion).
    for row, id_ in rows[:: -(-len(rows) // EXAMPLES) or 1]:
        target, predicted = emotions[predictions.target[row]], emotions[predictions.prediction[row]]
        wave = preparation.audio.load(by_id[id_].path, corpus=by_id[id_].corpus, **by_id[id_].segment).wave
        yield f"{id_}: {target}, predicted as {predicted}", wave, preparation.audio.sampling_rate


def logger_files(folder: Path, loggers: Sequence[Logger]) -> list[Path]:
    """Return the event files that TensorBoard has written for a run."""
    return [
        path
        for logger in loggers
        if isinstance(logger, TensorBoardLogger)
        for path in Path(logger.log_dir).iterdir()
        if path.is_file()
    ]
