"""``ser-features``: extract the features of recordings."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ser_lightning.cli.line import Inputs, Json, Settings, Trust, make_app, report_failures, run_app
from ser_lightning.errors import InputError, printable
from ser_lightning.output import STANDARD_OUTPUT, json_lines
from ser_lightning.output_checks import check_folder, check_output

PARTS = ("corpus", "audio", "features")  # parts of the config; corpus only for how channels are mixed down

EPILOG = """
Examples:
  ser-features recording.wav --output features
  ser-features folder/ "Recording (1).wav" --output features --set features=released --set audio=untrimmed

Of a folder the output has the layout. Where two files would get one name, each keeps its path below the folder that all
inputs have in common.

Groups that can be set: audio, features, corpus (for how its channels are mixed down); and any value of these.

Ends with 3 if some recordings could not be read; they are listed and left out. A name that starts with - goes after --.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-features``."""
    run_app(APP, "ser-features", arguments)


def features(  # noqa: PLR0917 - Typer passes options by name
    inputs: Inputs,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FOLDER", help="The folder to write to.")
    ] = None,
    settings: Settings = None,
    trust: Trust = None,
    config_dir: Annotated[
        str | None,
        typer.Option("--config-dir", metavar="FOLDER", help="A folder with your own options, as features/mine.yaml."),
    ] = None,
    json: Json = False,
) -> int:
    """Write the features of recordings: one .npy file for each, frames x features."""
    from ser_lightning.cli.settings import compose_config
    from ser_lightning.predict.extract import extract_features
    from ser_lightning.predict.inputs import find_recordings
    from ser_lightning.progress import show_progress

    if output is None:
        raise InputError("--output is missing; give --output <folder>")
    folder = check_folder(output)
    config = compose_config({"features": "paper"}, settings or [], choices=PARTS, keys=PARTS, config_dir=config_dir)
    recordings, failures = find_recordings(inputs)
    total = len(recordings) + len(failures)
    listing = check_output(STANDARD_OUTPUT, formats=(".jsonl",), default=".jsonl") if json else None
    for file in extract_features(
        recordings,
        folder,
        config=config,
        trust=trust or [],
        progress=show_progress("features"),
        on_failure=failures.append,
    ):
        if listing is not None:
            source, path = (str(name).encode("utf-8", "backslashreplace").decode() for name in (file.source, file.path))
            listing.write(json_lines([{"path": source, "features": path, "shape": list(file.shape)}]))
    summary = f"{total - len(failures)} of {total} recordings: features in {printable(folder)}"
    print(summary, file=sys.stderr if json else sys.stdout)
    return report_failures("ser-features", failures, total=total)


APP = make_app("ser-features", features, epilog=EPILOG)
