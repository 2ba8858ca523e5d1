"""``ser-predict``: predict the emotions of recordings."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ser_lightning.cli import predict_options as options
from ser_lightning.cli.line import Inputs, Json, Settings, Trust, make_app, report_failures, run_app
from ser_lightning.cli.predict_options import STDIN
from ser_lightning.output import expand_user
from ser_lightning.predict import defaults

if TYPE_CHECKING:
    from ser_lightning.predict.segment import SegmentPrediction  # imports numpy

EPILOG = """
Examples:
  ser-predict recording.wav
  ser-predict recording.wav --model best.ckpt
  arecord -f S16_LE -r 16000 -t raw | ser-predict - --sampling-rate 16000 --window 3 --hop 1
  ser-predict "Recording (1).wav" 録音.wav folder/ --model best.ckpt --output emotions.csv
  ser-predict folder/ --model best.ckpt --json | head -1
  ser-predict call.wav --model best.ckpt --channels each
  ser-predict meeting.m4a --model best.ckpt --window 3 --hop 1 --timeline meeting.html
  ser-predict folder/ --model best.ckpt --reject 0.1 --set-size

A recording of at most --max-length is one segment. In a longer one, utterances are found by their pauses.

Without --model, a small model answers that was trained on acted German speech (EmoDB); it needs the extra encoder.

A checkpoint is written by ser-train (<run>/checkpoints/best.ckpt) or ser-import, and contains the whole configuration.
A file of ser-export (model.onnx) needs onnxruntime instead of torch. After ser-export best.ckpt, the file best.onnx
answers for best.ckpt, so that the command starts faster, unless --set, --force, --trust or --one-speaker is given.

Ends with 3 if some recordings could not be read; they are listed and left out. A name that starts with - goes after --.
"""
FIRST = ("model", "output", "timeline", "window", "hop", "channels", "reject", "json")  # options of the first screen
DOWNMIX = dict.fromkeys(
    ("audio.downmix", "corpus"),
    "new recordings are mixed down by the mean of their channels, whatever the training corpus was; give --channels"
    " left, right, each or a number for others",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script ``ser-predict``."""
    run_app(APP, "ser-predict", arguments, first=FIRST)


def predict(  # noqa: PLR0917 - Typer passes options by name
    inputs: Inputs,
    model: options.Model = None,
    output: options.Target = "-",
    format: options.FormatName = None,  # noqa: A002 - the name of the option
    summary: options.Summary = False,
    timeline: options.Timeline = None,
    whole: options.Whole = False,
    window: options.Window = None,
    hop: options.Hop = None,
    min_length: options.MinLength = None,
    max_length: options.MaxLength = None,
    pause: options.Pause = defaults.PAUSE,
    min_speech: options.MinSpeech = defaults.MIN_SPEECH,
    vad: options.Vad = defaults.VAD,
    channels: options.Channels = "mean",
    normalize_loudness: options.NormalizeLoudness = False,
    sampling_rate: options.SamplingRate = None,
    sample_format: options.SampleFormat = "s16le",
    reject: options.Reject = 0.0,
    set_size: options.SetSize = False,
    one_speaker: options.OneSpeaker = False,
    settings: Settings = None,
    force: options.Force = False,
    trust: Trust = None,
    json: Json = False,
) -> int:
    """Predict the emotions of recordings: of each utterance the most probable emotion and the probability of each."""
    from ser_lightning.cli.default_model import default_model
    from ser_lightning.cli.model_file import open_model
    from ser_lightning.predict.certainty import certainty_of
    from ser_lightning.predict.inputs import Recording, find_recordings
    from ser_lightning.predict.pcm import read_pcm
    from ser_lightning.predict.predictor import Predictor
    from ser_lightning.predict.recordings import read_segments
    from ser_lightning.predict.splitting import Splitter, make_splitting
    from ser_lightning.predict.summary import summaries
    from ser_lightning.predict.targets import check_before_search, choose_targets, choose_timelines, timeline_writers
    from ser_lightning.predict.threads import available_cores
    from ser_lightning.predict.writer import write_through
    from ser_lightning.progress import show_progress

    model = default_model("ser-predict") if model is None else expand_user(model)
    refused = {"--timeline": timeline, "--one-speaker": one_speaker, "--normalize-loudness": normalize_loudness}
    stream = options.check_stream(inputs, sampling_rate=sampling_rate, refused=refused)
    check_before_search(output, name=format, json=json, sets=set_size)
    recordings, failures = ([Recording(Path(STDIN), Path(STDIN))], []) if stream else find_recordings(inputs)
    targets = choose_targets(output, name=format, json=json, sets=set_size, recordings=recordings)
    timelines = {} if timeline is None else choose_timelines(timeline, recordings=recordings)
    for target in [*targets.files, *(file for files in timelines.values() for file in files.values())]:
        target.check_differs([model, *(recording.path for recording in recordings)])
    opened = open_model(
        model,
        settings=settings or [],
        trust=trust or [],
        one_speaker=one_speaker,
        refused=DOWNMIX,
        force=force,
        exported=True,
    )
    splitting = make_splitting(
        training_data=opened.training_data,
        whole=whole,
        window=window,
        hop=hop,
        min_length=min_length,
        max_length=max_length,
        pause=pause,
        channels=channels,
        min_speech=min_speech,
        vad=vad,
        normalize_loudness=normalize_loudness,
    )
    splitter = Splitter(splitting, opened.audio, warnings=opened.warnings)
    certainty = certainty_of(opened.scorer, reject=reject, sets=set_size)
    predictor = Predictor(
        opened.scorer,
        opened.audio,
        certainty=certainty,
        batch_size=1 if stream else opened.batch_size,
        least_speech=min_speech,
        vad=vad,
        one_speaker=one_speaker,
        workers=1 if stream else available_cores(),
    )

    total = len(recordings) + len(failures)
    if sampling_rate is not None:
        pcm = read_pcm(sys.stdin.buffer, rate=sampling_rate, sample_format=sample_format, name="standard input")
        segments = splitter.split_stream(STDIN, pcm)
    else:
        paths = show_progress("recordings")([recording.path for recording in recordings], len(recordings))
        segments = read_segments(paths, splitter, on_failure=failures.append)
    predictions: Iterator[Sequence[SegmentPrediction]] = predictor.predict(segments, on_failure=failures.append)
    emotions = opened.scorer.emotions
    with ExitStack() as stack:
        writer = stack.enter_context(targets.writer(emotions))
        if timelines:
            drawn = timeline_writers(timelines, recordings=recordings, emotions=emotions)
            predictions = write_through(predictions, [stack.enter_context(each) for each in drawn])
        for rows in summaries(predictions, certainty) if summary else predictions:
            writer.write(rows)
    if len(failures) < total:
        print(f"{total - len(failures)} of {total} recordings: {targets.name}", file=sys.stderr)
    return report_failures("ser-predict", failures, total=total)


APP = make_app("ser-predict", predict, epilog=EPILOG)
