"""``make unseen``: recognize the emotions of speakers who are not in the training set.

Every system is refitted on training and validation speakers, and the test speakers are evaluated once. Finished runs
are skipped on a rerun; the table is rewritten after every part. If runs have been deleted, ``--docs`` keeps their
scores.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import soundfile
import torch
from studies.study import Study, call, exit_on_input_error, mean_sd, read_command_line
from studies.unseen_corpora import (
    CORPORA,
    Transfer,
    available,
    choose,
    measure_task,
    name_of,
    run_task,
    tasks,
    transfer_table,
)

import ser_lightning as ser
from ser_lightning import metrics
from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.runs import confusion_of, read_runs
from ser_lightning.report.tables import NOTHING, markdown
from ser_lightning.results import write_json

TIMED_CLIPS = 20
RESAMPLES = 10_000
WHOLE_OR_CUT = (("encoder", "encoder_cut"), ("encoder_mlp", "encoder_mlp_cut"))
TRANSFERRED = (*(name for pair in WHOLE_OR_CUT for name in pair), "encoder_adapted")  # also tested on other corpora


@dataclass(frozen=True, kw_only=True)
class Part:
    """A corpus whose speakers are tested in turn.

    Args:
        name: name of the folder
        title: heading of the table
        words: overrides that select corpus and split
        folds: number of folds
        root: environment variable with the path of the corpus
        published: published results on the same task, with their protocol

    """

    name: str
    title: str
    words: Sequence[str]
    folds: int
    root: str
    published: str


PARTS = (
    Part(
        name="ravdess_emobox",
        title="RAVDESS, the six folds of EmoBox",
        words=("corpus=ravdess", "split=emobox"),
        folds=6,
        root="RAVDESS_ROOT",
        published="Published on these folds, trained on the same 20 speakers: Whisper-large-v3 75.3, WavLM-large 72.0"
        " (frozen, EmoBox). Published from scratch: ResLSTM 62.3 +- 1.2; ComParE 2016 with logistic regression 63.6,"
        " trained on 23 speakers. Human listeners recognize 62.4 % of the clips, with neutral and calm as one option.",
    ),
    Part(
        name="ravdess_loso",
        title="RAVDESS, leaving one speaker out",
        words=("corpus=ravdess", "split=loso"),
        folds=24,
        root="RAVDESS_ROOT",
        published="",
    ),
    Part(
        name="emodb_loso",
        title="EmoDB, leaving one speaker out",
        words=("corpus=emodb", "split=loso"),
        folds=10,
        root="EMODB_ROOT",
        published="Published on EmoBox's folds of EmoDB, in which every test speaker is also in training (see"
        " [emobox.md](emobox.md)): WavLM-large 92.6.",
    ),
    Part(
        name="emovo_loso",
        title="EMOVO, leaving one speaker out",
        words=("corpus=emovo", "split=loso"),
        folds=6,
        root="EMOVO_ROOT",
        published="Published on EmoBox's six folds, which also leave one speaker out: Whisper-large-v3 57.8.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class System:
    """A system of the table.

    Args:
        name: name in the table and of the folder
        words: the experiment and its overrides
        chosen: what was chosen, and how
        transductive: whether it is adapted with the test speaker's own unlabeled clips
        seeds: number of seeds; 1 for systems without random numbers, None for that of the command

    """

    name: str
    words: Sequence[str]
    chosen: str
    transductive: bool = False
    seeds: int | None = None


BY_FOLDS_OF_SPEAKERS = "C of the logistic regression, by folds of training speakers"
RECIPE = "nothing in the run; the recipe by validation speakers of the EmoBox folds of RAVDESS (encoders.md)"
RATES_48_KHZ = ("audio.sampling_rate=48000", "features.analysis_rate=48000")
CUT = "; silence is cut by WebRTC because recordings of different corpora hold different amounts of it"
SYSTEMS = (
    System(name="encoder", words=("experiment=encoder",), chosen=BY_FOLDS_OF_SPEAKERS, seeds=1),
    System(  # RAVDESS has a second of silence around its sentences, the other corpora have none
        name="encoder_cut",
        words=("experiment=encoder", "audio=webrtc"),
        chosen=BY_FOLDS_OF_SPEAKERS + CUT,
        seeds=1,
    ),
    System(
        name="encoder_adapted",
        words=("experiment=encoder", "data.normalize=speaker"),
        chosen=BY_FOLDS_OF_SPEAKERS,
        transductive=True,
        seeds=1,
    ),
    System(name="encoder_mlp", words=("experiment=encoder_mlp",), chosen=RECIPE),
    System(name="encoder_mlp_cut", words=("experiment=encoder_mlp", "audio=webrtc"), chosen=RECIPE + CUT),
    System(
        name="encoder_mlp_adapted",
        words=("experiment=encoder_mlp", "data.normalize=speaker"),
        chosen=RECIPE,
        transductive=True,
    ),
    System(
        name="compare",
        words=("experiment=logistic", "features=compare", "audio=untrimmed"),
        chosen=BY_FOLDS_OF_SPEAKERS,
        seeds=1,
    ),
    System(  # whether the published figure, of recordings at 48 kHz, is explained by the sampling rate
        name="compare_48khz",
        words=(*("experiment=logistic", "features=compare", "audio=untrimmed"), *RATES_48_KHZ),
        chosen=BY_FOLDS_OF_SPEAKERS,
        seeds=1,
    ),
    System(
        name="compare_adapted",
        words=("experiment=logistic", "features=compare", "audio=untrimmed", "data.normalize=speaker"),
        chosen=BY_FOLDS_OF_SPEAKERS,
        transductive=True,
        seeds=1,
    ),
    System(name="logistic", words=("experiment=logistic",), chosen=BY_FOLDS_OF_SPEAKERS, seeds=1),
    System(name="cnn_bilstm", words=("experiment=corrected",), chosen="epochs, by the validation speakers"),
    System(name="res_lstm", words=("experiment=res_lstm",), chosen="epochs, by the validation speakers"),
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """Score of a system in a part.

    Args:
        uar: UAR in percent of each seed, over the pooled test clips of all folds
        accuracy: accuracy in percent of each seed, likewise
        low: lower end of the 95 % interval of the first seed's UAR over speakers
        high: its upper end
        speakers: number of speakers
        clips: number of test clips
        training_clips: median number of clips a model is trained on
        parameters: number of parameters that were trained or fitted, without those of a pretrained encoder
        milliseconds: time to classify a clip, audio decoded, on one core; None if it was not measured
        encoder: what the pretrained encoder was trained on; None without an encoder
        commits: commits of the code
        devices: devices that trained the runs

    """

    uar: Sequence[float]
    accuracy: Sequence[float]
    low: float
    high: float
    speakers: int
    clips: int
    training_clips: int
    parameters: int
    milliseconds: float | None
    encoder: str | None
    commits: Sequence[str]
    devices: Sequence[str]


def train(folder: Path, system: System, part: Part, *, seeds: int, rest: Sequence[str]) -> None:
    """Train the runs of a system in a part that are not finished."""
    call(
        *("ser-train", "--multirun", *system.words, *part.words, "split.refit=true", f"split.fold=range({part.folds})"),
        *(f"seed=range({system.seeds or seeds})", f"name={folder.name}", f"output_root={folder.parent}"),
        f"run_id={system.name}/{part.name}/fold-${{split.fold}}/seed-${{seed}}",
        *rest,
    )


def measure(folder: Path, part: Part, *, seeds: int) -> Score | None:
    """Compute the score of a system from the runs of a part; None if no seed has all folds.

    Args:
        folder: folder of these runs
        part: the part
        seeds: number of seeds, from 0

    """
    try:
        runs, predictions, _ = read_runs(folder)
    except InputError:  # there is no run yet
        return None
    counts = runs[runs.seed < seeds].groupby("seed").size()
    complete = [seed for seed, count in counts.items() if count == part.folds]
    if not complete:
        return None
    runs = runs[runs.seed.isin(complete)]
    emotions = runs.emotions.iloc[0]
    tested = predictions[(predictions.subset == "test") & predictions.run.isin(runs.path)]
    tested = tested.assign(seed=tested.run.map(runs.seed))
    pooled = [confusion_of(clips, emotions) for _, clips in tested.groupby("seed")]
    of_speaker = np.stack(
        [confusion_of(clips, emotions) for _, clips in tested[tested.seed == complete[0]].groupby("speaker")]
    )
    low, high = interval(of_speaker)
    return Score(
        uar=[100 * metrics.uar(matrix) for matrix in pooled],
        accuracy=[100 * metrics.accuracy(matrix) for matrix in pooled],
        low=low,
        high=high,
        speakers=len(of_speaker),
        clips=int(pooled[0].sum()),
        training_clips=round(median(counts["train"] for counts in runs.counts)),
        parameters=round(median(runs.parameters)),
        milliseconds=time_of(folder / runs.path.iloc[0], runs.config.iloc[0]),
        encoder=(runs.encoder.iloc[0] or {}).get("trained_on"),
        commits=sorted({str(git.get("commit") or "unknown")[:12] + "+" * bool(git.get("dirty")) for git in runs.git}),
        devices=sorted(set(runs.device)),
    )


def interval(of_speaker: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return a 95 % interval in percent of the pooled UAR over speakers, by the BCa bootstrap of whole speakers.

    Args:
        of_speaker: confusion counts of each speaker, (S, C, C)

    """

    def pooled_uar(chosen: np.ndarray[Any, Any]) -> float:
        return 100 * metrics.uar(of_speaker[chosen].sum(0))

    found = scipy.stats.bootstrap(
        (np.arange(len(of_speaker)),),
        pooled_uar,
        vectorized=False,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def time_of(run: Path, config: Mapping[str, Any]) -> float | None:
    """Return the median milliseconds of processor time that a model needs for a decoded clip on one core.

    Args:
        run: folder of the run
        config: its config

    Returns:
        the time; None for a model that needs the clips of a speaker, or if the corpus is not there

    """
    if config["data"].get("normalize", "none") != "none" or not Path(str(config["corpus"]["root"])).is_dir():
        return None
    classifier = ser.load(run / "checkpoints" / "best.ckpt")
    files = sorted(path for path in Path(config["corpus"]["root"]).rglob("*") if path.suffix in (".wav", ".flac"))
    waves = [soundfile.read(path, dtype="float32") for path in files[:: max(1, len(files) // TIMED_CLIPS)]]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        classifier.predict(*waves[0])
        times = []
        for wave, rate in waves:
            start = time.process_time()
            classifier.predict(wave, rate)
            times.append(1000 * (time.process_time() - start))
    finally:
        torch.set_num_threads(threads)
    return median(times)


def table(scores: Mapping[str, Score], part: Part, *, transductive: bool) -> pd.DataFrame:
    """Return a table with one row per system.

    Args:
        scores: ``<system>/<part>`` -> score
        part: the part
        transductive: the systems that are adapted to the test speakers, or those that are not

    """
    rows = []
    for system in SYSTEMS:
        score = scores.get(f"{system.name}/{part.name}")
        if score is None or system.transductive != transductive:
            continue
        rows.append(
            {
                "system": f"`{system.name}`",
                "UAR": mean_sd(score.uar),
                "95 % over speakers": f"{score.low:.1f} to {score.high:.1f}",
                "accuracy": mean_sd(score.accuracy),
                "seeds": "1, no random numbers" if system.seeds == 1 else str(len(score.uar)),
                "training clips": str(score.training_clips),
                "fitted parameters": f"{score.parameters:,}",
                "ms a clip": NOTHING if score.milliseconds is None else f"{score.milliseconds:.0f}",
                "trained on": ", ".join(score.devices),
            }
        )
    return pd.DataFrame(rows)


def page(scores: Mapping[str, Score], transfers: Mapping[str, Transfer], study: Study) -> str:
    """Return the page as Markdown.

    Args:
        scores: ``<system>/<part>`` -> score
        transfers: ``<system>/<task>`` -> result on another corpus
        study: the command line

    """
    parts = [
        "# Unseen speakers",
        "How well are emotions recognized of speakers who are not in the training set? All that is chosen is"
        " chosen with the training and validation speakers; then the model is trained on both together"
        " ([refit.md](refit.md)), and the test speakers are evaluated once. UAR and accuracy in percent on the pooled"
        " test clips of all folds, mean ± sample standard deviation over seeds. The interval is a BCa bootstrap of"
        " whole speakers on the first seed: how much the result may differ for other speakers.",
    ]
    for part in PARTS:
        raw, adapted = (table(scores, part, transductive=which) for which in (False, True))
        if raw.empty and adapted.empty:
            continue
        parts += [f"## {part.title}", "" if raw.empty else markdown(raw), part.published]
        if not adapted.empty:
            parts += [
                "Transductive: each test speaker's features are normalized by the mean and deviation of all of their"
                " unlabeled clips. These figures hold only where many recordings of a speaker are there before the"
                " first is classified; never compare them with those above.",
                markdown(adapted),
            ]
    parts += transfer_section(transfers)
    encoders = sorted({score.encoder for score in scores.values() if score.encoder})
    commits = sorted(
        {commit for score in scores.values() for commit in score.commits} | {one.commit for one in transfers.values()}
    )
    chosen = "\n".join(f"- `{s.name}`: {s.chosen}. `ser-train {' '.join(s.words)} split.refit=true`" for s in SYSTEMS)
    parts += [
        "## What was chosen, and how",
        chosen,
        *[f"`encoder` was trained on: {text}" for text in encoders],
        "Milliseconds are processor time, the median over clips of the corpus: decoded audio to answer, on one core.",
        not_run_yet(scores, transfers),
        "## Origin",
        f"Commit {', '.join(commits)} (+: with uncommitted changes). The numbers of every seed are in unseen.json. Made"
        " by this command, with `RAVDESS_ROOT`, `EMODB_ROOT` and `EMOVO_ROOT` set:"
        f"\n\n```sh\n{study.command_for_all}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def not_run_yet(scores: Mapping[str, Score], transfers: Mapping[str, Transfer]) -> str:
    """Return the parts and transfers without a result as a list with one line per system; empty if all have one."""
    lines = []
    for system in SYSTEMS:
        missing = [part.name for part in PARTS if f"{system.name}/{part.name}" not in scores]
        if system.name in TRANSFERRED:
            missing += [name for task in tasks() if f"{system.name}/{(name := name_of(*task))}" not in transfers]
        if missing:
            lines.append(f"- `{system.name}`: {', '.join(missing)}")
    return "Not run yet; the command below resumes:\n\n" + "\n".join(lines) if lines else ""


def transfer_section(transfers: Mapping[str, Transfer]) -> list[str]:
    """Return the section on systems that were trained on other corpora, as paragraphs."""
    paragraphs = []
    for system in SYSTEMS:
        if text := transfer_table(transfers, system.name):
            paragraphs += [
                f"`{system.name}`" + (", transductive as above:" if system.transductive else ":"),
                text,
            ]
    if not paragraphs:
        return []
    chosen = [{tested: choose(transfers, pair, tested) for tested in CORPORA} for pair in WHOLE_OR_CUT]
    if known := [by_corpus for by_corpus in chosen if all(by_corpus.values())]:
        paragraphs.append(
            "Whole recordings or cut ones? For each test corpus, the system with the higher mean UAR on the two"
            " transfers between the other two corpora, so that no figure of the test corpus takes part: "
            + "; ".join(
                ", ".join(f"`{system}` for {tested}" for tested, system in by_corpus.items()) for by_corpus in known
            )
            + "."
        )
    return [
        "## Trained on other corpora",
        "All speakers of the training corpora but the first, refitted, one seed; tested on all clips of the other"
        " corpus with an emotion that the training corpora have. Predictions are restricted to these emotions; chance"
        " is 100 divided by their number. Compare [cross_corpus.md](cross_corpus.md) for the network of the study.",
        *paragraphs,
    ]


def write(study: Study, found: Mapping[str, Score], transfers: Mapping[str, Transfer]) -> Path:
    """Write the page and its numbers to the folder of the study and, with stored scores added, to ``--docs``.

    Raises:
        InputError: there are no scores

    """
    written = None
    for text, numbers in [
        (study.folder, study.folder),
        *([(study.docs, study.docs / "results")] if study.docs else []),
    ]:
        stored = _read(numbers / "unseen.json") if text != study.folder else ({}, {})
        scores, others = {**stored[0], **found}, {**stored[1], **transfers}
        if not scores and not others:
            continue
        numbers.mkdir(parents=True, exist_ok=True)
        content = {
            name: {key: asdict(of[key]) for key in sorted(of)}
            for name, of in (("scores", scores), ("transfers", others))
        }
        write_json(numbers / "unseen.json", content)
        written = text / "unseen_speakers.md"
        with write_atomically(written) as file:
            file.write(page(scores, others, study))
    if written is None:
        raise InputError(f"{study.folder} has no system with all folds of a part. Run without --table first.")
    return written


def _read(path: Path) -> tuple[dict[str, Score], dict[str, Transfer]]:
    """Return the scores of the systems and their results on other corpora, as far as a file has them."""
    if not path.exists():
        return {}, {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scores = {name: Score(**fields) for name, fields in content["scores"].items()}
        return scores, {name: Transfer(**fields) for name, fields in content["transfers"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a file of scores ({error!r}). Remove it or restore it from git.") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not finished and write the table."""
    study = read_command_line(
        "unseen",
        "Evaluate systems on speakers outside their training set, on every corpus whose environment variable is set; "
        "write unseen_speakers.md and unseen.json. Finished runs are skipped on a rerun.",
        arguments,
        sweeps=[system.name for system in SYSTEMS],
    )

    def run() -> None:
        found: dict[str, Score] = {}
        transfers: dict[str, Transfer] = {}
        for part in PARTS:
            for system in SYSTEMS:
                folder = study.folder / system.name / part.name
                if not study.table and os.environ.get(part.root) and system.name in (study.sweeps or [system.name]):
                    train(study.folder, system, part, seeds=study.seeds, rest=study.overrides)
                if (score := measure(folder, part, seeds=study.seeds)) is not None:
                    found[f"{system.name}/{part.name}"] = score
                    write(study, found, transfers)
        for system in (system for system in SYSTEMS if system.name in TRANSFERRED):
            folder = study.folder / system.name
            for trained, tested in tasks():
                chosen = system.name in (study.sweeps or [system.name]) and available(trained, tested)
                if chosen and not study.table:
                    run_task(folder, system.words, trained, tested, rest=study.overrides)
                if (one := measure_task(folder, trained, tested)) is not None:
                    transfers[f"{system.name}/{name_of(trained, tested)}"] = one
                    write(study, found, transfers)
        print(write(study, found, transfers))

    exit_on_input_error("unseen", run)


if __name__ == "__main__":
    main()
