"""``ser-explain``: explain the answers of a model for recordings."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ser_lightning.cli.line import Json, Settings, Trust, make_app, report_failures, run_app
from ser_lightning.errors import InputError, printable
from ser_lightning.output import STANDARD_OUTPUT, expand_user, json_lines
from ser_lightning.output_checks import check_output

HTML, JSON = ".html", ".jsonl"
LEAST_BLOCK = 0.02  # seconds

EPILOG = """
Examples:
  ser-explain outputs/corrected/dropout-p25/seed-0 clip.wav --output clip.html
  ser-explain best.ckpt clips/ --method audio --method features --method gradients --output clips.html
  ser-explain best.ckpt clip.wav --emotion angry --json

Methods:
  audio      the change of the logit when a band of the audio is lowered to the background noise for some time; for
             every kind of model
  features   the change of the logit when a group of features is replaced by its mean over the training clips
  gradients  integrated gradients, for networks; needs the extra explain (Captum)

The page has a player, the contribution of each block of time and band, and needs no other file. It contains the
recordings. docs/explanations.md says how far explanations can be trusted.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-explain``."""
    run_app(APP, "ser-explain", arguments)


def explain(  # noqa: PLR0917 - Typer passes options by name
    model: Annotated[
        str, typer.Argument(metavar="RUN|CHECKPOINT", help="The folder of a run, a checkpoint, or an ONNX file.")
    ],
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="Sound files, and folders that are searched for them.")
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="A .html page, or a .jsonl file with the numbers."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="audio, features or gradients. May be given several times. [default: audio]",
        ),
    ] = None,
    emotion: Annotated[
        str | None,
        typer.Option("--emotion", metavar="NAME", help="Explain this emotion [default: the most probable one]."),
    ] = None,
    block: Annotated[
        float, typer.Option("--block", metavar="SECONDS", min=LEAST_BLOCK, help="Length of a block of time.")
    ] = 0.2,
    bands: Annotated[int, typer.Option("--bands", min=1, max=64, help="Number of bands of frequencies.")] = 8,
    settings: Settings = None,
    trust: Trust = None,
    json: Json = False,
) -> int:
    """Explain the answers of a model for recordings: which times and bands speak for and against an emotion."""
    from ser_lightning.cli.model_file import open_model
    from ser_lightning.explain.explainer import Explainer
    from ser_lightning.explain.page import ExplainedClip, render_clips
    from ser_lightning.predict.inputs import find_recordings
    from ser_lightning.progress import show_progress

    if output is None and not json:
        raise InputError("there is no output; give --output page.html, or --json")
    names = [STANDARD_OUTPUT] * json + ([] if output is None else [output])
    targets = [check_output(name, formats=(HTML, JSON), default=JSON) for name in dict.fromkeys(names)]
    path = checkpoint_path(model)
    recordings, failures = find_recordings(inputs)
    for target in targets:
        target.check_differs([path, *(recording.path for recording in recordings)])
    opened = open_model(path, settings=settings or [], trust=trust or [], one_speaker=False, refused={}, force=False)
    explainer = Explainer(
        opened.scorer,
        opened.audio,
        methods=method or ["audio"],
        block=block,
        bands=bands,
        emotion=emotion,
        path=path,
    )
    clips: list[ExplainedClip] = []
    for recording in show_progress("recordings")(recordings, len(recordings)):
        try:
            clips.append(explainer.explain(recording.path))
        except InputError as error:
            failures.append(str(error))
    for target in targets if clips else ():
        page = target.format == HTML
        target.write(
            render_clips(clips, model=printable(model)) if page else json_lines([clip.as_dict() for clip in clips])
        )
        print(f"{len(clips)} of {len(recordings)} recordings: {target.name}", file=sys.stderr)
    return report_failures("ser-explain", failures, total=len(clips) + len(failures))


def checkpoint_path(model: str) -> str:
    """Return the checkpoint of a run folder; any other path is that of a model file.

    Raises:
        InputError: the folder is no finished run

    """
    from ser_lightning.reevaluate import read_result

    path = Path(expand_user(model))
    if not path.is_dir():
        return str(path)
    return str(path / "checkpoints" / f"{read_result(path)['checkpoint']}.ckpt")


APP = make_app("ser-explain", explain, epilog=EPILOG)
