"""``ser-explain``: explain the answers of a model for recordings, its feature groups and its embeddings."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ser_lightning.cli.line import Json, Settings, Trust, make_app, report_failures, run_app
from ser_lightning.errors import InputError, printable
from ser_lightning.output import STANDARD_OUTPUT, expand_user, json_lines
from ser_lightning.output_checks import check_folder, check_output

HTML, JSON = ".html", ".jsonl"
LEAST_BLOCK = 0.02  # seconds
FOLDER = "explanations"  # in the folder of a run

EPILOG = """
Examples:
  ser-explain outputs/corrected/dropout-p25/seed-0 clip.wav --output clip.html
  ser-explain best.ckpt clips/ --method audio --method features --method gradients --output clips.html
  ser-explain best.ckpt clip.wav --emotion angry --json
  ser-explain outputs/corrected/fold-* --importance
  ser-explain outputs/corrected/fold-0 --embeddings --map tsne

Methods:
  audio      the change of the logit when a band of the audio is lowered to the background noise for some time; for
             every kind of model
  features   the change of the logit when a group of features is replaced by its mean over the training clips
  gradients  integrated gradients, for networks; needs the extra explain (Captum)

--importance measures on the test clips of a run, or of several runs such as the folds of a cross-validation, how much
UAR is lost when a group of features is exchanged between clips. --embeddings draws a map of the test clips and measures
whether they lie together by emotion or by speaker. Both write a JSON file, a table and a figure to the folder
<RUN>/explanations, or to --output.

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
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Sound files, and folders that are searched for them; with --importance and --embeddings more runs.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            *("--output", "-o"),
            metavar="FILE|FOLDER",
            help="A .html page, or a .jsonl file with the numbers; with --importance and --embeddings a folder.",
        ),
    ] = None,
    importance: Annotated[bool, typer.Option("--importance", help="Measure the importance of feature groups.")] = False,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Map the test clips in two dimensions.")] = False,
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
    bands: Annotated[int, typer.Option("--bands", min=1, max=32, help="Number of bands of frequencies.")] = 8,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Permutations of a group for --importance.")] = 20,
    map: Annotated[  # noqa: A002 - the name of the option
        str, typer.Option("--map", metavar="NAME", help="pca, tsne, or umap (extra umap), for --embeddings.")
    ] = "pca",
    settings: Settings = None,
    trust: Trust = None,
    json: Json = False,
) -> int:
    """Explain a model: which times and bands speak for an emotion, which features matter, and what lies together."""
    common: dict[str, Any] = {"settings": settings or [], "trust": trust or [], "json": json}
    if importance or embeddings:
        kinds = {"importance": importance, "embeddings": embeddings}
        return _explain_runs([model, *(inputs or [])], output, kinds, repeats=repeats, method=map, **common)
    wanted = {"methods": method or ["audio"], "block": block, "bands": bands, "emotion": emotion}
    return _explain_clips(model, inputs or [], output, wanted, **common)


def _explain_clips(
    model: str,
    inputs: Sequence[str],
    output: str | None,
    wanted: Mapping[str, Any],
    *,
    settings: Sequence[str],
    trust: Sequence[str],
    json: bool,
) -> int:
    from ser_lightning.cli.model_file import open_model
    from ser_lightning.explain.explainer import Explainer
    from ser_lightning.explain.page import ExplainedClip, render_clips
    from ser_lightning.predict.inputs import find_recordings
    from ser_lightning.progress import show_progress

    if not inputs:
        raise InputError("there is no recording; give sound files, or --importance or --embeddings")
    if output is None and not json:
        raise InputError("there is no output; give --output page.html, or --json")
    names = [STANDARD_OUTPUT] * json + ([] if output is None else [output])
    targets = [check_output(name, formats=(HTML, JSON), default=JSON) for name in dict.fromkeys(names)]
    path = checkpoint_path(model)
    recordings, failures = find_recordings(inputs)
    for target in targets:
        target.check_differs([path, *(recording.path for recording in recordings)])
    opened = open_model(
        path, settings=settings, trust=trust, one_speaker=False, refused={}, force=False, exported=False
    )
    explainer = Explainer(opened.scorer, opened.audio, **wanted, path=path)
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


def _explain_runs(
    models: Sequence[str],
    output: str | None,
    kinds: Mapping[str, bool],
    *,
    repeats: int,
    method: str,
    settings: Sequence[str],
    trust: Sequence[str],
    json: bool,
) -> int:
    from ser_lightning.cli import explain_runs
    from ser_lightning.explain.embeddings import check_map

    check_map(method)
    first = Path(expand_user(models[0]))
    run = first if first.is_dir() else first.parent.parent
    folder = check_folder(str(run / FOLDER) if output is None else output)
    paths = [checkpoint_path(model) for model in models]
    runs = explain_runs.open_runs(paths, settings=settings, trust=trust)
    if kinds["importance"]:
        explain_runs.explain_importance(runs, paths, folder, repeats=repeats, as_json=json)
    if kinds["embeddings"]:
        explain_runs.explain_embeddings(runs, paths, folder, method=method, as_json=json)
    print(folder, file=sys.stderr)
    return 0


def checkpoint_path(model: str) -> str:
    """Return the checkpoint of a run folder; any other path is that of a model file.

    Raises:
        InputError: the folder is no finished run

    """
    from ser_lightning.results import reported_checkpoint

    path = Path(expand_user(model))
    if not path.is_dir():
        return str(path)
    return str(reported_checkpoint(path))


APP = make_app("ser-explain", explain, epilog=EPILOG)
