"""``ser-export``: write the model of a checkpoint as an ONNX file."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ser_lightning.cli.exported import exported_path
from ser_lightning.cli.line import Json, Trust, make_app, run_app
from ser_lightning.errors import InputError
from ser_lightning.memory import permanent_imports
from ser_lightning.output import Output, expand_user, json_lines
from ser_lightning.output_checks import check_output, check_path
from ser_lightning.predict.defaults import DEFAULT_MODEL, ONNX_SUFFIX, ONNX_TOLERANCE

if TYPE_CHECKING:
    from ser_lightning.export.export import Comparison, Export

MOST_CLIPS = 200

EPILOG = """
Examples:
  ser-export best.ckpt
  ser-export outputs/corrected/seed-0/checkpoints/best.ckpt model.onnx
  ser-export best.ckpt model.onnx --clips recordings/
  ser-export best.ckpt small.onnx --int8 --clips recordings/
  ser-predict recording.wav --model model.onnx

The file takes a waveform of any length and returns logits and probabilities. Speech detection and resampling happen
before it; ser-predict does both, and needs onnxruntime but not torch. Models whose features cannot be part of the file
take features; docs/onnx.md lists them.

Without OUTPUT, best.onnx is written beside best.ckpt. ser-predict --model best.ckpt then answers from it and starts
faster, until the checkpoint changes. Without CHECKPOINT, the same is done for the default model, in the user's cache.

The file is compared with the checkpoint at ten lengths before it is written.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-export``."""
    run_app(APP, "ser-export", arguments)


def export(  # noqa: PLR0917 - Typer passes options by name
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="CHECKPOINT",
            help="The checkpoint to export [default: the model of the package].",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Argument(
            metavar="OUTPUT",
            help="The .onnx file to write [default: beside the checkpoint, for which it then answers].",
            show_default=False,
        ),
    ] = None,
    clips: Annotated[
        list[str] | None,
        typer.Option(
            "--clips",
            metavar="FILE|FOLDER",
            help="Recordings for the comparison; without, generated sounds. May be given several times.",
            show_default=False,
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Store matrices with 8 bits, and print how often the answer stays the same."),
    ] = False,
    only_features: Annotated[
        bool, typer.Option("--only-features", help="Leave the features out of the file, even where they can be in it.")
    ] = False,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0.0, help="Largest allowed difference of a probability, without --int8.")
    ] = ONNX_TOLERANCE,
    trust: Trust = None,
    json: Json = False,
) -> None:
    """Write the model of a checkpoint as an ONNX file, with its features where possible."""
    if int8 and not clips:
        raise InputError("--int8 changes the answers: give recordings with --clips, on which to measure how much")
    path = DEFAULT_MODEL if checkpoint is None else Path(expand_user(checkpoint))
    if output is None:
        target = _default_target(path, exact=tolerance <= ONNX_TOLERANCE and not int8)
    else:
        target = check_output(output, formats=(ONNX_SUFFIX,), default=ONNX_SUFFIX)
    recordings = _recordings(clips or [])
    target.check_differs([path, *recordings])
    content, facts = _exported(
        path, recordings, trust=trust or [], only_features=only_features, tolerance=tolerance, int8=int8
    )
    target.write(content)
    facts = {"checkpoint": str(path), "model": target.name} | facts
    stream = sys.stderr if target.is_standard_output else sys.stdout
    print(json_lines([facts]).rstrip() if json else _text(facts), file=stream)


def _default_target(checkpoint: Path, *, exact: bool) -> Output:
    path = exported_path(checkpoint)
    if not exact:
        raise InputError(
            f"without an output, {path} is written, which answers for {checkpoint} and must not differ from it; give an"
            " output, or leave out --int8 and --tolerance"
        )
    return check_path(path, formats=(ONNX_SUFFIX,), default=ONNX_SUFFIX)


def _exported(
    path: Path, recordings: Sequence[Path], *, trust: Sequence[str], only_features: bool, tolerance: float, int8: bool
) -> tuple[bytes, dict[str, Any]]:
    """Return the ONNX file of a checkpoint, and the facts to print."""
    with permanent_imports("torch"):
        from ser_lightning.checkpoint import read_checkpoint
        from ser_lightning.export.clips import at_ten_lengths
        from ser_lightning.export.export import compare, export_checkpoint, open_content, quantize

    exported = export_checkpoint(
        read_checkpoint(path, trust=trust), path=path, trust=trust, only_features=only_features, tolerance=tolerance
    )
    waves = _waves(exported, recordings)
    comparison = compare(exported.content, exported.scorer, at_ten_lengths(waves, rate=exported.scorer.sampling_rate))
    if not comparison.difference <= tolerance:
        raise InputError(
            f"the ONNX model differs from {path} by {comparison.difference:.1e} in a probability; expected at most"
            f" {tolerance:g}. Give other --clips, --only-features, or a larger --tolerance."
        )
    content, small = exported.content, None
    if int8:
        content = quantize(exported.content, exported.metadata)
        small = compare(content, open_content(exported.content), waves)
    facts = {
        "input": exported.metadata.input,
        "bytes": len(content),
        "lengths": comparison.waveforms,
        "largest_difference": comparison.difference,
    }
    return content, facts | _int8_facts(small)


def _recordings(clips: Sequence[str]) -> list[Path]:
    if not clips:
        return []
    from ser_lightning.predict.inputs import find_recordings

    paths = [recording.path for recording in find_recordings(clips)[0]]
    step = -(-len(paths) // MOST_CLIPS)  # evenly spaced, since a folder is often sorted by speaker
    return paths[::step]


def _waves(exported: "Export", recordings: Sequence[Path]) -> list[Any]:
    """Return the prepared waveforms of recordings, or of generated sounds."""
    from ser_lightning.export.clips import generated

    if recordings:
        return [exported.audio.load(path).wave for path in recordings]
    return [generated(rate=exported.scorer.sampling_rate)]


def _int8_facts(small: "Comparison | None") -> dict[str, Any]:
    if small is None:
        return {}
    return {
        "int8_clips": small.waveforms,
        "int8_agreement": small.agreement,
        "int8_largest_difference": small.difference,
    }


def _text(facts: dict[str, Any]) -> str:
    lines = [
        f"{facts['model']}: takes {'a waveform' if facts['input'] == 'waveform' else 'features'}",
        f"{facts['bytes'] / 1e6:.1f} MB",
        f"largest difference of a probability at {facts['lengths']} lengths: {facts['largest_difference']:.1e}",
    ]
    if "int8_clips" in facts:
        lines.append(
            f"with 8 bits, {facts['int8_agreement']:.1%} of {facts['int8_clips']} recordings have the same answer"
            f" (largest difference of a probability: {facts['int8_largest_difference']:.3f})"
        )
    return "; ".join(lines)


APP = make_app("ser-export", export, epilog=EPILOG)
