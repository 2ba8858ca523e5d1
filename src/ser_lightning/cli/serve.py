"""``ser-serve``: predict recordings in a browser and over HTTP."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ser_lightning.cli.line import Trust, make_app, run_app
from ser_lightning.cli.predict_options import Model
from ser_lightning.errors import InputError
from ser_lightning.output import expand_user

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EPILOG = """
Examples:
  ser-serve
  ser-serve --model best.ckpt --port 8080
  curl -F file=@recording.wav http://127.0.0.1:8000/predict

The page is at /, the answers of POST /predict are the rows of ser-predict --json, GET /health describes the model, and
/openapi.json the interface. No upload is kept, nothing of it is logged, and the page loads nothing from other hosts.

Without --model, a small model answers that was trained on acted German speech (EmoDB); it needs the extra encoder.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-serve``."""
    run_app(APP, "ser-serve", arguments)


def serve(  # noqa: PLR0917 - Typer passes options by name
    model: Model = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 is a free one.")] = 8000,
    max_size: Annotated[float, typer.Option(metavar="MB", help="Greatest size of an upload.")] = 50.0,
    max_length: Annotated[float, typer.Option(metavar="SECONDS", help="Greatest length of a recording.")] = 600.0,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Greatest time for an answer.")] = 120.0,
    workers: Annotated[
        int | None,
        typer.Option(help="Recordings that are predicted at once [default: number of cores].", show_default=False),
    ] = None,
    queue: Annotated[int, typer.Option(help="Recordings that wait; more are refused.")] = 64,
    trust: Trust = None,
) -> int:
    """Serve a page and an HTTP interface that predict the emotions of recordings."""
    try:
        import uvicorn

        from ser_lightning.serve import app as application
    except ImportError as error:
        raise InputError(f"ser-serve needs {error.name}: pip install 'ser-lightning[serve]'") from error
    from ser_lightning.cli.default_model import default_model
    from ser_lightning.cli.model_file import open_model
    from ser_lightning.cli.predict import DOWNMIX
    from ser_lightning.predict.certainty import certainty_of
    from ser_lightning.predict.defaults import MIN_SPEECH, VAD
    from ser_lightning.predict.predictor import Predictor
    from ser_lightning.predict.splitting import Splitter, make_splitting
    from ser_lightning.predict.threads import available_cores
    from ser_lightning.serve.engine import Engine, Limits
    from ser_lightning.serve.listen import listen

    limits = Limits(
        size=round(1e6 * max_size), length=max_length, time=timeout, workers=workers or available_cores(), queue=queue
    )
    path = default_model("ser-serve") if model is None else expand_user(model)
    opened = open_model(
        path, settings=[], trust=trust or [], one_speaker=False, refused=DOWNMIX, force=False, exported=True
    )
    predictor = Predictor(
        opened.scorer,
        opened.audio,
        certainty=certainty_of(opened.scorer, reject=0.0, sets=False),
        batch_size=1,
        least_speech=MIN_SPEECH,
        vad=VAD,
        one_speaker=False,
    )
    splitter = Splitter(make_splitting(training_data=opened.training_data), opened.audio)
    app = application.make_app(
        Engine(splitter=splitter, predictor=predictor, limits=limits),
        emotions=opened.scorer.emotions,
        model=opened.path.name,
        card=find_card(Path(path)),
        hosts=[*LOOPBACK, "[::1]"] if host in LOOPBACK else ["*"],
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=10))
    with listen(host, port) as socket:
        address = f"[{host}]" if ":" in host else host
        print(f"ser-serve: http://{address}:{socket.getsockname()[1]}", file=sys.stderr, flush=True)
        server.run(sockets=[socket])
    return 0


def find_card(checkpoint: Path) -> str:
    """Return the model card of a checkpoint, beside it or in the folder of its run; empty if there is none."""
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        card = folder / "MODEL_CARD.md"
        if card.is_file():
            return card.read_text(encoding="utf-8", errors="replace")
    return ""


APP = make_app("ser-serve", serve, epilog=EPILOG)
