"""Explain the answers of a model for recordings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ser_lightning.audio.audio import Audio
from ser_lightning.calibration.temperature import probabilities
from ser_lightning.errors import InputError, suggestion
from ser_lightning.explain.explanation import Explanation, Floats
from ser_lightning.explain.gradients import check_gradients, integrated_gradients
from ser_lightning.explain.groups import feature_bands
from ser_lightning.explain.occlusion import AudioOcclusion, FeatureOcclusion, explain_by_occlusion
from ser_lightning.explain.page import METHODS, ExplainedClip
from ser_lightning.models.ensemble import members_of
from ser_lightning.predict.inputs import valid_text
from ser_lightning.predict.scorer import Scorer
from ser_lightning.predict.torch_scorer import TorchScorer

LONGEST = 60.0  # seconds; a longer clip would take minutes, and its blocks would be too narrow to see


class Explainer:
    """Explains the answers of a model.

    Args:
        scorer: the model
        audio: converts recordings to the waveforms that it takes
        methods: ``audio``, ``features`` and ``gradients``, one or more of them
        block: wanted length of a block of time, seconds
        bands: number of bands of frequencies
        emotion: emotion whose logit is explained; None for the most probable one of each clip
        path: file of the model, for messages

    Raises:
        InputError: a value is out of range, or a method does not fit the model

    """

    def __init__(
        self,
        scorer: Scorer,
        audio: Audio,
        *,
        methods: Sequence[str],
        block: float,
        bands: int,
        emotion: str | None,
        path: str,
    ) -> None:
        for method in methods:
            if method not in METHODS:
                known = ", ".join(METHODS)
                raise InputError(f"--method is {method!r}; expected one of {known}{suggestion(method, METHODS)}")
        if emotion is not None and emotion not in scorer.emotions:
            known = ", ".join(scorer.emotions)
            raise InputError(f"--emotion is {emotion!r}; {path} knows {known}{suggestion(emotion, scorer.emotions)}")
        if not isinstance(scorer, TorchScorer) and {*methods} != {"audio"}:
            raise InputError(f"{path} is an ONNX file, whose features cannot be changed; use --method audio")
        if "gradients" in methods and isinstance(scorer, TorchScorer):
            check_gradients(scorer.model, path=path)
        self.scorer, self.audio = scorer, audio
        self.methods = list(dict.fromkeys(methods))
        self.block, self.bands, self.emotion = block, bands, emotion

    def explain(self, path: Path) -> ExplainedClip:
        """Explain the answer for a recording.

        Raises:
            InputError: the recording cannot be read, or is too long

        """
        wave = self.audio.load(path).wave
        seconds = len(wave) / self.scorer.sampling_rate
        if seconds > LONGEST:
            raise InputError(
                f"{path} has {seconds:.0f} s; expected at most {LONGEST:.0f} s: cut out the part to explain"
            )
        logits = self.scorer.logits([wave])
        (shares,) = probabilities(logits, self.scorer.temperature).tolist()
        emotions = self.scorer.emotions
        emotion = int(logits[0].argmax()) if self.emotion is None else emotions.index(self.emotion)
        return ExplainedClip(
            path=valid_text(path),
            wave=wave,
            rate=self.scorer.sampling_rate,
            probabilities=dict(zip(emotions, shares, strict=True)),
            emotion=emotions[emotion],
            logit=float(logits[0, emotion]),
            explanations=[self._explanation(method, wave, emotion=emotion) for method in self.methods],
        )

    def _explanation(self, method: str, wave: Floats, *, emotion: int) -> Explanation:
        if method == "audio":
            audio = AudioOcclusion(wave, rate=self.scorer.sampling_rate, block=self.block, bands=self.bands)
            return explain_by_occlusion(self.scorer.logits, wave, audio, emotion=emotion)
        assert isinstance(self.scorer, TorchScorer)  # noqa: S101 - checked at the start
        features = self.scorer.extract(wave)
        mean, deviation = typical_values(self.scorer, features)
        clip = FeatureOcclusion(
            features,
            seconds=len(wave) / self.scorer.sampling_rate,
            block=self.block,
            groups=feature_bands(self.scorer.extract, bands=self.bands),
            baseline=mean,
            scale=deviation,
        )
        if method == "gradients":
            return integrated_gradients(self.scorer.model, clip, emotion=emotion)
        return explain_by_occlusion(self.scorer.score_features, features, clip, emotion=emotion)


def typical_values(scorer: TorchScorer, features: Floats) -> tuple[Floats, Floats]:
    """Return the mean and the deviation of each feature over the training clips, (F,) each.

    A model that does not standardize does not know them; those of the clip take their place.

    Args:
        scorer: the model
        features: features of a clip, (K, F)

    """
    known = getattr(members_of(scorer.model)[0], "standardize", None)
    if known is None:
        mean, deviation = features.mean(0), features.std(0)
    else:
        mean, deviation = (value.numpy().astype(np.float32) for value in (known.mean, known.deviation))
    return mean, np.where(deviation > 1e-8, deviation, 1).astype(np.float32)
