"""Leak checks of a trained run, and of a split before training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ser_lightning.corpora.audio_files import list_corpus_files, sha256
from ser_lightning.corpora.rows import RowCorpus
from ser_lightning.data.content import cached_contents, read_contents
from ser_lightning.data.preparation import Corpus, Preparation
from ser_lightning.data.speaker_normalization import describe_normalization
from ser_lightning.errors import InputError
from ser_lightning.progress import show_progress
from ser_lightning.splits.audit import audit_folder, audit_split
from ser_lightning.splits.findings import Finding, summarize_findings
from ser_lightning.splits.training_audit import (
    audit_adaptation,
    audit_choice,
    audit_encoder,
    audit_normalizer,
    audit_rows,
    audit_siblings,
    audit_statistics,
)

if TYPE_CHECKING:
    from torch import nn

    from ser_lightning.data.datamodule import SpeechDataModule


def audit_run(data: SpeechDataModule, model: nn.Module, config: Mapping[str, Any]) -> dict[str, Any]:
    """Check a trained run for leakage: its split, dataset rows, feature normalization and checkpoint selection.

    Args:
        data: the data module, already set up
        model: the trained network
        config: resolved config of the run

    Returns:
        The section ``audit`` of the result. The seconds it took are recorded with those of the preparation.

    """
    preparation, start = data.preparation, time.perf_counter()
    contents = cached_contents(
        preparation.utterances,
        folder=preparation.cache_folder,
        workers=preparation.feature_workers,
        progress=show_progress("audit"),
    )
    # Rows are identified by the offset of their frames, independently of the names that the dataset reports.
    key_at = {row.offset: key for key, row in preparation.rows.items()}
    rows = {
        subset: [key_at[offset] for offset in dataset.offsets.tolist()] for subset, dataset in data.datasets.items()
    }
    standardize = getattr(model, "standardize", None)
    fitted = None if standardize is None else (standardize.mean.cpu().numpy(), standardize.deviation.cpu().numpy())
    training = (preparation.rows[key] for key in preparation.members["train"])
    frames = (preparation.frames[row.offset : row.offset + row.frames] for row in training)
    section = summarize_findings(
        [
            *audit_split(preparation.utterances, preparation.split, contents),
            audit_rows(rows, preparation.split),
            *_encoder_findings(preparation),
            *data.teacher_findings,
            audit_adaptation(describe_normalization(preparation.normalize)),
            *([audit_siblings(rows)] if preparation.augment_first else []),
            audit_normalizer(fitted, frames),
            audit_statistics(updated=config["evaluation"]["update_statistics"]),
            audit_choice(monitors(config), checkpoint=config["checkpoint"]),
        ]
    )
    preparation.seconds["audit"] = time.perf_counter() - start
    return section


class CorpusAudit(NamedTuple):
    """Leak checks of a split before training.

    Args:
        findings: result of each check
        roots: folders whose files all belong to the corpus
        unread: path of each clip that cannot be decoded, and the reason

    """

    findings: list[Finding]
    roots: list[Path]
    unread: list[tuple[str, str]]


def audit_corpus(preparation: Preparation, config: Mapping[str, Any]) -> CorpusAudit:
    """Check the split of a corpus for leakage before training, and the folders of the corpus for copies.

    Args:
        preparation: the corpus and its split, scanned
        config: resolved config of a run

    Raises:
        InputError: no clip can be read

    """
    utterances, rows = preparation.utterances, preparation.members
    digests = {utterance.path: utterance.digest for utterance in utterances}
    roots = _roots(preparation.corpus)
    files = (root / file for root in roots for file in list_corpus_files(root, follow_links=False)[0])
    left_out = {path: sha256(path) for path in files if path not in digests}
    contents = read_contents(
        {digest: path for path, digest in left_out.items()} | {u.content: u.path for u in utterances},
        segments={utterance.content: utterance.segment for utterance in utterances},
        workers=preparation.feature_workers,
        progress=show_progress("audio"),
    )
    if not any(utterance.content in contents.samples for utterance in utterances):
        raise InputError(f"{next(iter(contents.unread.values()))}; no clip of {preparation.corpus.name} can be read")
    # Files that cannot be decoded are still compared by the hash of their bytes.
    used, unused = (
        {str(path): contents.samples.get(digest, digest) for path, digest in files.items()}
        for files in (digests, left_out)
    )
    findings = [
        audit_folder(used, unused),
        *audit_split(utterances, preparation.split, contents),
        *([audit_rows(rows, preparation.split), audit_siblings(rows)] if preparation.augment_first else []),
        *_encoder_findings(preparation),
        audit_statistics(updated=config["evaluation"]["update_statistics"]),
        audit_choice(monitors(config), checkpoint=config["checkpoint"]),
    ]
    unread = [(str(u.path), contents.unread[u.content]) for u in utterances if u.content in contents.unread]
    return CorpusAudit(findings, roots, unread)


def _roots(corpus: Corpus) -> list[Path]:
    """Return the folders of the corpus and its parts whose files all belong to it, as those of a table need not."""
    parts = getattr(corpus, "parts", {"": corpus}).values()
    return [Path(getattr(part, "folder", None) or part.root) for part in parts if not isinstance(part, RowCorpus)]


def _encoder_findings(preparation: Preparation) -> list[Finding]:
    """Check the pretrained encoder whose hidden states are the features, if there is one."""
    encoder = getattr(preparation.features, "encoder_facts", None)
    return [] if encoder is None else [audit_encoder(encoder, (u.corpus for u in preparation.utterances))]


def monitors(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Return callback name -> metric it monitors; callbacks may override the config's ``monitor``."""
    callbacks = {name: part for name, part in (config["callbacks"] or {}).items() if part is not None}
    return {name: part["monitor"] for name, part in callbacks.items() if "monitor" in part}
