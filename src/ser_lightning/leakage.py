"""Leak checks of a trained run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ser_lightning.data.content import cached_contents
from ser_lightning.data.preparation import Preparation
from ser_lightning.data.speaker_normalization import describe_normalization
from ser_lightning.progress import show_progress
from ser_lightning.splits.audit import audit_split
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
            *encoder_findings(preparation),
            audit_adaptation(describe_normalization(preparation.normalize)),
            *([audit_siblings(rows)] if preparation.augment_first else []),
            audit_normalizer(fitted, frames),
            audit_statistics(updated=config["evaluation"]["update_statistics"]),
            audit_choice(monitors(config), checkpoint=config["checkpoint"]),
        ]
    )
    preparation.seconds["audit"] = time.perf_counter() - start
    return section


def encoder_findings(preparation: Preparation) -> list[Finding]:
    """Check the pretrained encoder whose hidden states are the features, if there is one."""
    encoder = getattr(preparation.features, "encoder_facts", None)
    return [] if encoder is None else [audit_encoder(encoder, (u.corpus for u in preparation.utterances))]


def monitors(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Return callback name -> metric it monitors; callbacks may override the config's ``monitor``."""
    callbacks = {name: part for name, part in (config["callbacks"] or {}).items() if part is not None}
    return {name: part["monitor"] for name, part in callbacks.items() if "monitor" in part}
