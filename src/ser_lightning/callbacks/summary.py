"""What a finished run shows in its loggers beside its curves."""

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

FINAL = "when_done"  # group of what a finished run adds; TensorBoard sorts it behind the curves of train and val
EXAMPLES = 4  # test clips to listen to
# Hyperparameters that every run shows, by their key in the config.
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
# Those that are named by the option that was chosen for a group.
GROUPS = ("corpus", "split", "features", "model", "augment")


def write_summary(
    loggers: Sequence[Logger],
    result: Mapping[str, Any],
    figures: Mapping[str, Figure],
    *,
    data: SpeechDataModule,
    predictions: Predictions,
) -> None:
    """Write hyperparameters with the final metrics, figures, and test clips to listen to, where a logger can take them.

    Args:
        loggers: of the run
        result: as in ``result.json``
        figures: by name
        data: the corpus and its audio
        predictions: of the test clips

    """
    step = int(result.get("steps", 1)) - 1  # as Lightning numbers the rows of an epoch
    final = {
        f"{FINAL}/{subset}_{name}": result["metrics"][subset][name] for subset in ("val", "test") for name in METRICS
    } | {f"{FINAL}/{subset}_study_metric": value for subset, value in (result.get("study_metric") or {}).items()}
    clips = list(_clips(result, data, predictions))
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


def hyperparameters(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dozen main values of a run and whatever its command line changed, by key."""
    config = OmegaConf.create(dict(result["config"]))
    values: dict[str, Any] = {"experiment": result["name"]}
    values |= {group: result["choices"].get(group) for group in GROUPS}
    changed = [word.lstrip("+").partition("=")[0] for word in result["overrides"]]
    for key in (*MAIN, *(key for key in changed if key not in GROUPS and not _is_place(key))):
        with suppress(Exception):  # a group, or a key with a package, which the config does not hold by this name
            value = OmegaConf.select(config, key)
            if value is not None and not OmegaConf.is_dict(value):
                values[key] = str(value) if OmegaConf.is_list(value) else value
    return values


def _is_place(key: str) -> bool:
    """Return whether a key says where things lie."""
    return key in {"name", "run_id", "output_root", "folder"} or key.rpartition(".")[2] in {"root", "store", "workers"}


def _clips(result: Mapping[str, Any], data: SpeechDataModule, predictions: Predictions) -> Any:
    """Yield title, waveform and sampling rate of a few test clips."""
    preparation, emotions = data.preparation, result["emotions"]
    by_id = {utterance.id: utterance for utterance in preparation.utterances}
    rows = [(row, id_) for row, (id_, copy) in enumerate(preparation.members["test"]) if not copy]
    # Spread over the test set, which is in the order of its ids: of RAVDESS, in that of its emotions.
    for row, id_ in rows[:: -(-len(rows) // EXAMPLES) or 1]:
        target, predicted = emotions[predictions.target[row]], emotions[predictions.prediction[row]]
        wave = preparation.audio.load(by_id[id_].path, corpus=by_id[id_].corpus).wave
        yield f"{id_}: {target}, predicted as {predicted}", wave, preparation.audio.sampling_rate


def logger_files(folder: Path, loggers: Sequence[Logger]) -> list[Path]:
    """Return the event files that TensorBoard has written in the folder of a run."""
    return [
        path
        for logger in loggers
        if isinstance(logger, TensorBoardLogger)
        for path in Path(logger.log_dir).iterdir()
        if path.is_file()
    ]
