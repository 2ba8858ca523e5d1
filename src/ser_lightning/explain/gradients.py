"""Explain the answer of a network by integrated gradients, computed by Captum (extra ``explain``)."""

import numpy as np
import torch
from torch import nn

from ser_lightning.errors import InputError, needs_extra
from ser_lightning.explain.explanation import Doubles, Explanation, Floats
from ser_lightning.explain.occlusion import FeatureOcclusion

STEPS = 100  # points on the line from the baseline to the clip
TOGETHER = 20  # points whose gradients are computed together


def check_gradients(model: nn.Module, *, path: str) -> None:
    """Check that integrated gradients can be computed for a model.

    Args:
        model: the model
        path: its file, for messages

    Raises:
        InputError: it is a classical model, or Captum is not installed

    """
    if next(model.parameters(), None) is None:
        raise InputError(f"{path} is a classical model without gradients; use --method audio or features")
    with needs_extra("--method gradients", "explain"):
        import captum.attr  # noqa: F401 - checked here, before long work


def integrated_gradients(model: nn.Module, clip: FeatureOcclusion, *, emotion: int) -> Explanation:
    """Explain the answer of a network by integrated gradients, summed over the blocks of an occlusion.

    The contributions add up to the difference between the logit of the clip and that of the baseline.

    Args:
        model: maps features (B, K, F) and lengths (B,) to logits (B, classes)
        clip: the features, their baseline and their blocks
        emotion: index of the emotion whose logit is explained

    Source: Sundararajan et al. 2017, Axiomatic attribution for deep networks (arXiv 1703.01365)

    """
    from captum.attr import IntegratedGradients

    features = torch.from_numpy(clip.features)[None]  # (1, K, F)
    baseline = torch.from_numpy(clip.baseline).expand_as(features).contiguous()
    lengths = torch.tensor([len(clip.features)])
    attributions = (
        IntegratedGradients(model)
        .attribute(
            features,
            baselines=baseline,
            target=emotion,
            additional_forward_args=(lengths,),
            n_steps=STEPS,
            internal_batch_size=TOGETHER,
        )[0]
        .numpy()
    )
    with torch.inference_mode():
        total = float((model(features, lengths) - model(baseline, lengths))[0, emotion])
    contributions = _sum_blocks(attributions, clip)
    return Explanation(
        method="gradients",
        seconds=clip.seconds,
        rows=clip.rows,
        contributions=contributions,
        by_time=contributions.sum(1),
        by_row=contributions.sum(0),
        total=total,
        error=float(contributions.sum() - total),
        picture=clip.picture,
    )


def _sum_blocks(attributions: Floats, clip: FeatureOcclusion) -> Doubles:
    """Return the sums of attributions (K, F) over blocks of time and groups, (T, R)."""
    by_group = np.stack([attributions[:, group.columns].sum(1, dtype=np.float64) for group in clip.groups], axis=1)
    sums: Doubles = np.add.reduceat(by_group, clip.borders[:-1], axis=0)
    return sums
