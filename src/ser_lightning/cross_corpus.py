"""Cross-corpus evaluation: evaluate a trained network on all clips of another corpus."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ser_lightning.assemble import assemble_data
from ser_lightning.build import corpora_of
from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.data.feature_cache import corpus_digest
from ser_lightning.errors import InputError
from ser_lightning.evaluation import Predictions, predict_subset
from ser_lightning.progress import show_progress
from ser_lightning.reevaluate import open_run
from ser_lightning.splits.everything import EveryKnownClip


def evaluate_on_corpus(config: Mapping[str, Any], *, path: Path) -> dict[str, Any]:
    """Evaluate a checkpoint on a corpus that it was not trained on.

    All clips whose emotion is among the network's classes are evaluated. Predictions are restricted to the emotions
    that network and corpus share: an emotion absent from the corpus could only be a wrong prediction, and an emotion
    unknown to the network cannot be predicted.

    Args:
        config: config of the run, with the other corpus in it
        path: the checkpoint

    Returns:
        metrics and confusion matrix over the shared emotions, and counts of what was left out

    Raises:
        InputError: the network was trained on this corpus, or they share fewer than two emotions

    """
    checkpoint = read_checkpoint(path, trust=config["trust"])
    both = corpora_of(config["corpus"]) & corpora_of(checkpoint.config["corpus"])
    if both:
        raise InputError(
            f"{path} was trained on {', '.join(sorted(both))}: evaluating on all of it would include training clips;"
            " leave out --corpus to evaluate on its own test clips (--set corpus.root=<folder> for another copy)"
        )
    strategy = EveryKnownClip(emotions=checkpoint.emotions)
    data = assemble_data(config, progress=show_progress("features"), split=strategy)
    preparation = data.preparation
    corpus = preparation.corpus
    shared = tuple(emotion for emotion in checkpoint.emotions if emotion in corpus.emotions)
    if len(shared) < 2:
        raise InputError(
            f"{path} knows {', '.join(checkpoint.emotions)}, and {corpus.name} has {', '.join(corpus.emotions)};"
            " expected at least two emotions in common"
        )
    run = open_run(checkpoint, config, path=path, data=data)
    predictions = predict_subset(run.model, data, "test", evaluation=run.evaluation, device=torch.device("cpu"))
    shared_predictions = over_shared(predictions, corpus.emotions, checkpoint.emotions, shared)
    utterances = preparation.utterances
    left_out = Counter(utterance.emotion for utterance in utterances if utterance.emotion not in shared)
    never = [emotion for emotion in checkpoint.emotions if emotion not in shared]
    return {
        "corpus": {"name": corpus.name, "digest": corpus_digest(utterances), "utterances": len(utterances)},
        "emotions": list(shared),
        "left_out": dict(left_out),
        "never_predicted": never,
        "clips": len(shared_predictions.target),
        "metrics": shared_predictions.summary(),
        "confusion_matrix": shared_predictions.confusion.tolist(),
        "problems": [{"path": problem.path, "reason": problem.reason} for problem in preparation.problems],
        "config": dict(config),
    }


def over_shared(
    predictions: Predictions, corpus: Sequence[str], known: Sequence[str], shared: Sequence[str]
) -> Predictions:
    """Restrict predictions to the emotions that a corpus and a network share.

    Args:
        predictions: predictions with targets indexed by the corpus's emotions (all shared) and logits by the network's
        corpus: emotions of the corpus, in order
        known: emotions of the network, in order
        shared: shared emotions, in the order of the returned classes

    """
    place = {corpus.index(emotion): number for number, emotion in enumerate(shared)}
    return Predictions(
        np.array([place[target] for target in predictions.target.tolist()], dtype=np.int64),
        predictions.logits[:, [known.index(emotion) for emotion in shared]],
    )
