"""Embeddings of the test clips of a run: do they lie together by emotion, or by speaker?"""

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

from ser_lightning.baselines.baseline import Baseline
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError
from ser_lightning.models.embedding import embed
from ser_lightning.reevaluate import OpenRun

Doubles = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]

MAPS = ("pca", "tsne", "umap")
FEATURES, EMBEDDING, OUTPUT = "features", "embedding", "output"
APART = {"emotion": "speaker", "speaker": "emotion", "corpus": None}  # label -> label that neighbors must not share
SEED = 0
INSTALL = "pip install 'ser-lightning[umap]'"


class Nearness(NamedTuple):
    """Distances between clips with the same label, compared with other clips.

    Args:
        silhouette: mean silhouette, from -1 to 1; 0 where the groups are mixed
        neighbor: share of clips whose nearest neighbor has the same label; where the labels are emotions, the neighbor
            is of another speaker, and where they are speakers, it has another emotion
        chance: the same share for a random neighbor

    """

    silhouette: float
    neighbor: float
    chance: float


def represent(run: OpenRun) -> tuple[dict[str, Doubles], list[Utterance]]:
    """Return the representations (N, D) of the test clips of a run by name, and their utterances.

    They are the mean over time of the features, the embedding of a network, and the logits.
    """
    clips = run.data.datasets["test"]
    parts: dict[str, list[torch.Tensor]] = {FEATURES: [], EMBEDDING: [], OUTPUT: []}
    rows = []
    classes = len(run.data.preparation.corpus.emotions)
    with torch.inference_mode():
        for batch in run.data.eval_dataloader("test"):
            rows.append(batch.row)
            parts[FEATURES].append(batch.features.sum(1) / batch.lengths[:, None])
            parts[OUTPUT].append(run.model(batch.features, batch.lengths))
            if not isinstance(run.model, Baseline):
                parts[EMBEDDING].append(embed(run.model, batch.features, batch.lengths, classes=classes))
    order = torch.cat(rows).argsort()
    utterance_of = {utterance.id: utterance for utterance in run.data.preparation.utterances}
    vectors = {name: torch.cat(batches)[order].double().numpy() for name, batches in parts.items() if batches}
    return vectors, [utterance_of[id_] for id_ in clips.utterances]


def labels_of(utterances: Sequence[Utterance]) -> dict[str, Names]:
    """Return the emotion, the speaker and the corpus of each clip, without those that are the same for all."""
    labels = {name: np.array([getattr(each, name) or "" for each in utterances]) for name in APART}
    return {name: values for name, values in labels.items() if len(set(values)) > 1}


def measure_nearness(vectors: Doubles, labels: Mapping[str, Names]) -> dict[str, Nearness]:
    """Measure, for each kind of label, how near clips with the same label lie to each other.

    Args:
        vectors: (N, D); they are standardized first
        labels: kind of label -> label of each clip

    Source: Rousseeuw 1987, Silhouettes: a graphical aid to the interpretation and validation of cluster analysis
    """
    vectors = StandardScaler().fit_transform(vectors)
    squares = np.square(vectors).sum(1)
    distances = squares[:, None] + squares - 2 * vectors @ vectors.T
    return {
        name: Nearness(
            float(silhouette_score(vectors, values)), *_neighbor(distances, values, labels.get(APART[name] or ""))
        )
        for name, values in labels.items()
    }


def _neighbor(distances: Doubles, labels: Names, apart: Names | None) -> tuple[float, float]:
    """Return how often the nearest clip has the same label, and how often a random one has.

    Args:
        distances: (N, N)
        labels: (N,)
        apart: (N,), label in which a neighbor must differ; None for any other clip

    """
    others = np.arange(len(labels)) if apart is None else apart
    allowed = others[:, None] != others
    same = labels[:, None] == labels
    asked = allowed.any(1)
    nearest = np.where(allowed, distances, np.inf).argmin(1)
    share = (same & allowed).sum(1)[asked] / allowed.sum(1)[asked]
    return float(np.mean(labels[nearest[asked]] == labels[asked])), float(share.mean())


def project(vectors: Doubles, *, method: str) -> Doubles:
    """Return a map of standardized vectors in two dimensions, (N, 2).

    Args:
        vectors: (N, D)
        method: ``pca``, ``tsne`` or ``umap``

    """
    standardized = StandardScaler().fit_transform(vectors)
    most = len(vectors) - 1  # neighbors of a clip
    if method == "umap":
        places: Doubles = _umap(standardized, min(15, most))
    elif method == "tsne":
        places = TSNE(2, perplexity=min(30, most), random_state=SEED).fit_transform(standardized)
    else:
        places = PCA(2, random_state=SEED).fit_transform(standardized)
    return places


def check_map(method: str) -> None:
    """Check the name of a map.

    Raises:
        InputError: it is unknown, or its library is not installed

    """
    if method not in MAPS:
        raise InputError(f"--map is {method!r}; expected one of {', '.join(MAPS)}")
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise InputError(f"--map umap needs the library umap-learn: {INSTALL}")


def _umap(vectors: Doubles, neighbors: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # one part of it needs TensorFlow
        from umap import UMAP

    return UMAP(n_neighbors=neighbors, random_state=SEED, n_jobs=1).fit_transform(vectors)
