"""Draw explanations beside a player, as one page that needs no other file."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.image import imsave

from ser_lightning.explain.explanation import Doubles, Explanation, Floats
from ser_lightning.predict.splitting import open_waveform
from ser_lightning.predict.timeline_page import encode_audio
from ser_lightning.report.drawing import COLORS
from ser_lightning.report.render import html_template, make_page

STRIP = 16  # pixels of the picture per row
FRAMES = 600  # most pixels of the picture in time
RANGE = 2.5  # standard deviations from black to white
METHODS = {
    "audio": "Occlusion of the audio: the change of the logit when a band is lowered to the background noise of the"
    " recording for some time.",
    "features": "Occlusion of features: the change of the logit when a group of features is replaced by its mean over"
    " the training clips for some time.",
    "gradients": "Integrated gradients from the mean of the training clips, summed over each block. All blocks together"
    " add up to the change of the logit.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainedClip:
    """A clip with its answer and the explanations of it.

    Args:
        path: path of the recording, as valid text
        wave: (samples,), the waveform that the model was given
        rate: its sampling rate, Hz
        probabilities: emotion -> probability
        emotion: emotion whose logit is explained
        logit: this logit
        explanations: by one or more methods

    """

    path: str
    wave: Floats
    rate: int
    probabilities: dict[str, float]
    emotion: str
    logit: float
    explanations: Sequence[Explanation]

    @property
    def seconds(self) -> float:
        """Duration of the waveform."""
        return len(self.wave) / self.rate

    def as_dict(self) -> dict[str, Any]:
        """Return the clip as plain values, without its waveform."""
        return {
            "path": self.path,
            "seconds": self.seconds,
            "probabilities": self.probabilities,
            "emotion": self.emotion,
            "logit": self.logit,
            "explanations": [explanation.as_dict() for explanation in self.explanations],
        }


def render_clips(clips: Sequence[ExplainedClip], *, model: str) -> str:
    """Return the page of explained clips.

    Args:
        clips: the clips
        model: name of the model, for the head of the page

    """
    body = html_template("ser_lightning.explain", "clips.html.j2").render(
        model=model,
        clips=[(clip, _audio(clip), [_map(explanation, clip) for explanation in clip.explanations]) for clip in clips],
        methods={
            explanation.method: METHODS[explanation.method] for clip in clips for explanation in clip.explanations
        },
        colors=COLORS,
    )
    return make_page(Markup(body), title=f"Explanations of {model}")  # noqa: S704 - the template escapes its values


def _audio(clip: ExplainedClip) -> str:
    return encode_audio(lambda: open_waveform(clip.wave[:, None], clip.rate))


def _map(explanation: Explanation, clip: ExplainedClip) -> dict[str, Any]:
    """Return the shapes of an explanation; places are percent of the width and height, strengths from -1 to 1."""
    cells = explanation.contributions
    scale = max(float(np.abs(cells).max()), 1e-12)
    lefts, widths = 100 * explanation.seconds[:-1] / clip.seconds, 100 * np.diff(explanation.seconds) / clip.seconds
    height = 100 / len(explanation.rows)
    rectangles = [
        {
            "x": lefts[block],
            "y": 100 - height * (row + 1),
            "width": widths[block],
            "height": height,
            "strength": cells[block, row] / scale,
            "title": f"{_span(explanation, block)}, {explanation.rows[row]}: {cells[block, row]:+.2f}",
        }
        for block in range(len(lefts))
        for row in range(len(explanation.rows))
    ]
    return {
        "explanation": explanation,
        "rectangles": rectangles,
        "rows": list(reversed(_bars(explanation.rows, explanation.by_row))),
        "times": _bars([_span(explanation, block) for block in range(len(lefts))], explanation.by_time),
        "spans": list(zip(lefts, widths, strict=True)),
        "picture": _picture(explanation.picture),
        "summary": _summary(explanation, clip),
    }


def _bars(names: Sequence[str], values: Doubles) -> list[dict[str, Any]]:
    scale = max(float(np.abs(values).max()), 1e-12)
    return [
        {"name": name, "value": value, "strength": value / scale} for name, value in zip(names, values, strict=True)
    ]


def _span(explanation: Explanation, block: int) -> str:
    return f"{explanation.seconds[block]:.2f}-{explanation.seconds[block + 1]:.2f} s"


def _summary(explanation: Explanation, clip: ExplainedClip) -> str:
    row, block = int(explanation.by_row.argmax()), int(explanation.by_time.argmax())
    text = (
        f"The logit of {clip.emotion} is {clip.logit:.2f}. The whole clip contributes {explanation.total:+.2f}, the"
        f" time {_span(explanation, block)} {explanation.by_time[block]:+.2f}, {explanation.rows[row]}"
        f" {explanation.by_row[row]:+.2f}."
    )
    return (
        text
        if explanation.error is None
        else f"{text} The blocks add up to {explanation.total + explanation.error:+.2f}."
    )


def _picture(rows: Sequence[Floats]) -> str:
    """Return a PNG in base64 of one strip per row, the lowest row at the bottom.

    Args:
        rows: (features, frames) of each row, the lowest first

    """
    strips = [row[np.arange(STRIP) * len(row) // STRIP] for row in rows]
    pixels = np.concatenate(strips)[::-1]  # the lowest frequency is at the bottom
    frames = pixels.shape[1]
    pixels = pixels[:, np.arange(min(frames, FRAMES)) * frames // min(frames, FRAMES)]
    content = io.BytesIO()
    imsave(content, pixels, cmap="gray", vmin=-RANGE, vmax=RANGE, format="png")
    return base64.b64encode(content.getvalue()).decode()
