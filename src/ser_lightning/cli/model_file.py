"""Open the model file of a command: a checkpoint, or an ONNX file, for which torch is not imported."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ser_lightning.audio.audio import Audio
from ser_lightning.cli.exported import check_answers_for, exported_path
from ser_lightning.errors import InputError
from ser_lightning.memory import permanent_imports
from ser_lightning.predict.defaults import ONNX_SUFFIX
from ser_lightning.predict.onnx_scorer import OnnxScorer
from ser_lightning.predict.scorer import Scorer
from ser_lightning.predict.threads import available_cores
from ser_lightning.recording_conditions import TrainingData

LOG = logging.getLogger(__name__)
BATCH_SIZE = 32  # segments that are scored together; ONNX files compute one after another


class Opened(NamedTuple):
    """A model that is ready to predict.

    Args:
        path: the file that answers
        scorer: the model
        audio: converts recordings to the waveforms that it takes
        batch_size: number of segments that are scored together
        warnings: trained values that the settings change
        training_data: conditions of the training clips, or None if they are unknown

    """

    path: Path
    scorer: Scorer
    audio: Audio
    batch_size: int
    warnings: tuple[str, ...] = ()
    training_data: TrainingData | None = None


def open_model(
    path: str,
    *,
    settings: Sequence[str],
    trust: Sequence[str],
    one_speaker: bool,
    refused: Mapping[str, str],
    force: bool,
    exported: bool,
) -> Opened:
    """Open a model file.

    Args:
        path: a checkpoint, or a file of ser-export, which ends in ``.onnx``
        settings: the user's settings, each ``key=value``
        trust: packages of the user whose classes a checkpoint may name
        one_speaker: whether all recordings are of one speaker, by whose clips features are normalized
        refused: key -> why it cannot be changed
        force: whether the settings may change values that the model was trained with
        exported: whether an ONNX file beside a checkpoint may answer for it, if no option needs the checkpoint

    Raises:
        InputError: the file cannot be used, or a setting does not fit it

    """
    if path.lower().endswith(ONNX_SUFFIX):
        _check_onnx_options(path, settings=settings, one_speaker=one_speaker)
        return _open_onnx(Path(path), OnnxScorer(path, workers=available_cores()))
    if exported and not (settings or trust or one_speaker or force):
        opened = _open_exported(Path(path))
        if opened is not None:
            return opened
    return _open_checkpoint(path, settings=settings, trust=trust, one_speaker=one_speaker, refused=refused, force=force)


def _open_exported(checkpoint: Path) -> Opened | None:
    """Open the ONNX file that was exported from a checkpoint; return None if there is none that answers for it."""
    path = exported_path(checkpoint)
    if not (checkpoint.is_file() and path.is_file()):
        return None
    try:
        scorer = OnnxScorer(path, workers=available_cores())
        check_answers_for(checkpoint, path, scorer.metadata)
        opened = _open_onnx(path, scorer)
    except InputError as error:
        LOG.warning("ignored: %s", error)
        return None
    LOG.info("%s answers for %s", path, checkpoint)
    return opened


def _check_onnx_options(path: str, *, settings: Sequence[str], one_speaker: bool) -> None:
    if settings:
        raise InputError(
            f"--set {settings[0]} cannot change {path}, whose values are fixed; export the checkpoint again"
        )
    if one_speaker:
        raise InputError(f"--one-speaker is for checkpoints with data.normalize=speaker; {path} is an ONNX file")


def _open_onnx(path: Path, scorer: OnnxScorer) -> Opened:
    try:
        audio = Audio(**{key: value for key, value in scorer.metadata.audio.items() if key != "_target_"})
    except TypeError as error:
        raise InputError(f"{path} is damaged: {error} in its metadata; export the checkpoint again") from error
    return Opened(path, scorer, audio, BATCH_SIZE, (), scorer.training_data)


def _open_checkpoint(
    path: str,
    *,
    settings: Sequence[str],
    trust: Sequence[str],
    one_speaker: bool,
    refused: Mapping[str, str],
    force: bool,
) -> Opened:
    with permanent_imports("ser_lightning.predict.torch_scorer"):
        import torch

        from ser_lightning.build import build, usable_backends
        from ser_lightning.checkpoint import read_checkpoint
        from ser_lightning.cli.checkpoint_config import config_of, require_parts
        from ser_lightning.cli.settings import require_int
        from ser_lightning.cli.trained_values import check_trained_values
        from ser_lightning.predict.torch_scorer import TorchScorer

    checkpoint = read_checkpoint(path, trust=trust)
    # Not applicable here: "checkpoint" selects which checkpoint is reported, and prediction is always in eval mode.
    config: dict[str, Any] = config_of(
        checkpoint, path, settings, without=("checkpoint", "evaluation"), refused=dict(refused)
    )
    require_parts(config, ("model", "audio", "features", "data", "threads"), path)
    warnings = check_trained_values(usable_backends(checkpoint.config), config, force=force)
    torch.set_num_threads(require_int("threads", config["threads"], least=1))
    batch_size = require_int("data.batch_size", config["data"].get("batch_size"), least=1)
    with permanent_imports("sklearn"):  # by the models that need it
        scorer = TorchScorer(checkpoint, config, path=path, one_speaker=one_speaker, workers=available_cores())
    audio = build("audio", config["audio"], trust=config["trust"])
    return Opened(Path(path), scorer, audio, batch_size, warnings, checkpoint.training_data)
