"""``make bugs``: the effect of each bug of the study on test accuracy and UAR, in points.

``released`` is run with one bug fixed at a time, and ``corrected`` with one bug reintroduced at a time, over the same
seeds. Finished runs are skipped on a rerun; the table is rewritten after every step.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf
from studies.study import call, commits, exit_on_input_error, mean_sd, read_command_line

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.metrics import study_metric
from ser_lightning.report.answer import SYNTHETIC, is_synthetic
from ser_lightning.report.figures import forest_figure, save
from ser_lightning.report.runs import LeftOut, read_runs
from ser_lightning.report.statistics import PairedDifference, paired_difference
from ser_lightning.report.tables import NOTHING, interval_text, left_out_table, markdown
from ser_lightning.results import write_json

BASES = ("released", "corrected")
CHANGE = {"released": "fixed", "corrected": "reintroduced"}
METRICS = ("accuracy", "uar")
TITLES = {"accuracy": "test accuracy", "uar": "test UAR"}
TRAINED, EVALUATED, RECOMPUTED = "trained", "evaluated again", "recomputed"
STUDY_BATCHES = ("data.eval_batch_size=100", "data.eval_shuffle=true")
Values = dict[int, dict[str, float]]  # seed -> metric -> percent


@dataclass(frozen=True, kw_only=True)
class Bug:
    """One bug of the original study.

    Args:
        name: name of its row and of the folder of its runs
        description: description of what the study does
        fixed: overrides that fix it in ``released``
        reintroduced: overrides that reintroduce it in ``corrected``
        how: base -> how the effect is measured: ``TRAINED`` trains new runs, ``EVALUATED`` evaluates the checkpoints of
            the base again, ``RECOMPUTED`` recomputes the metric from the predictions of the base. Training is skipped
            only if the weights cannot differ.
        notes: base -> remark needed to interpret the number

    """

    name: str
    description: str
    fixed: tuple[str, ...]
    reintroduced: tuple[str, ...]
    how: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(BASES, TRAINED))
    notes: Mapping[str, str] = field(default_factory=dict)

    def overrides(self, base: str) -> tuple[str, ...]:
        """Return the overrides that change a base."""
        return self.fixed if base == "released" else self.reintroduced


BUGS = (
    Bug(
        name="arithmetic",
        description="correct clips are divided by the number of batches of 100",
        fixed=("study_metric=false",),
        reintroduced=("study_metric=true",),
        how=dict.fromkeys(BASES, RECOMPUTED),
        notes=dict.fromkeys(
            BASES, "only the printed number changes, not the predictions; the study has no such number for UAR"
        ),
    ),
    Bug(
        name="training-mode",
        description="dropout and batch statistics are on during evaluation",
        fixed=("evaluation.training_mode=false",),
        reintroduced=("evaluation.training_mode=true", *STUDY_BATCHES),
        how={"released": EVALUATED, "corrected": TRAINED},
        notes={
            "released": "evaluation mode uses the running statistics, which evaluated clips have updated",
            "corrected": "with the study's batches, which alone change nothing (random-batches); trained again because "
            "validation chooses the checkpoint",
        },
    ),
    Bug(
        name="updated-statistics",
        description="evaluated clips update BatchNorm's running statistics",
        fixed=("evaluation.update_statistics=false",),
        reintroduced=("evaluation.update_statistics=true", *STUDY_BATCHES),
        how={"released": EVALUATED, "corrected": TRAINED},
        notes={
            "released": "no effect if fixed alone: training mode does not use the running statistics",
            "corrected": "with the study's batches, as training-mode; trained again because validation updates the "
            "statistics every epoch, and the checkpoint stores them",
        },
    ),
    Bug(
        name="random-batches",
        description="clips are evaluated in random batches of 100",
        fixed=("data.eval_shuffle=false", "data.bucket=true"),
        reintroduced=STUDY_BATCHES,
        how=dict.fromkeys(BASES, EVALUATED),
        notes={
            "released": "cannot be fixed alone: while padding is processed and batch statistics are used, the score of "
            "a clip depends on the composition of its batch; shown are batches sorted by length instead",
            "corrected": "the score of a clip does not depend on its batch, up to rounding",
        },
    ),
    Bug(
        name="last-epoch",
        description="the last epoch is tested instead of the best validation epoch",
        fixed=("checkpoint=best",),
        reintroduced=("checkpoint=last",),
        how=dict.fromkeys(BASES, EVALUATED),
        notes={"released": "the best epoch is chosen by the validation UAR, computed as in the study"},
    ),
    Bug(
        name="padding",
        description="the LSTM and the pooling over time process padding",
        fixed=("model.masked=true",),
        reintroduced=("model.masked=false",),
    ),
    Bug(
        name="rate-label",
        description="audio at 22.05 kHz with filterbanks for 16 kHz",
        fixed=("features.analysis_rate=16000",),
        reintroduced=("features.analysis_rate=22050",),
    ),
    Bug(
        name="stereo",
        description="stereo clips: left and right samples are interleaved",
        fixed=("corpus.downmix=mean",),
        reintroduced=("corpus.downmix=interleave",),
        notes=dict.fromkeys(BASES, "5 of RAVDESS's 1440 clips are stereo, none of them in the released test set"),
    ),
    Bug(
        name="pcm16",
        description="copies are saved as 16-bit files",
        fixed=("augment.pcm16=false",),
        reintroduced=("augment.pcm16=true",),
    ),
    Bug(
        name="resampler",
        description="resampling without a low-pass filter",
        fixed=("audio.resampler=soxr",),
        reintroduced=("audio.resampler=linear",),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Effect of one bug in one base.

    Args:
        bug: the bug
        base: ``"released"`` or ``"corrected"``
        found: metric -> difference from the base by seed, in points; metrics that do not apply are missing

    """

    bug: Bug
    base: str
    found: Mapping[str, PairedDifference]


def train(folder: Path, base: str, arm: str, overrides: Sequence[str], *, seeds: int, rest: Sequence[str]) -> None:
    """Train the runs of an arm that are not finished.

    Args:
        folder: folder of the whole study
        base: the experiment
        arm: folder of the runs of the arm
        overrides: overrides of the arm
        seeds: number of runs, with seeds from 0
        rest: overrides of every run

    """
    call(
        *("ser-train", "--multirun", f"experiment={base}", f"name={folder.name}", f"output_root={folder.parent}"),
        *(f"run_id={base}/{arm}/seed-${{seed}}", f"seed=range({seeds})", *rest, *overrides),
    )


def measure(folder: Path, base: str, bug: Bug, *, seeds: int) -> None:
    """Evaluate the trained runs of a base again, unless that result exists."""
    for seed in range(seeds):
        run, output = folder / base / "base" / f"seed-{seed}", folder / base / bug.name / f"seed-{seed}.json"
        if not _measured(run, output, bug.overrides(base)):
            call("ser-evaluate", str(run), "--output", str(output), *_settings(bug.overrides(base)))


def _settings(overrides: Sequence[str]) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def _measured(run: Path, output: Path, overrides: Sequence[str]) -> bool:
    """Return whether a file holds the result of exactly this run under these overrides."""
    try:
        stored, result = (json.loads(path.read_text(encoding="utf-8")) for path in (output, run / "result.json"))
        config, wanted = OmegaConf.create(stored["config"]), OmegaConf.from_dotlist(list(overrides))
        keys = [word.partition("=")[0] for word in overrides]
        same = all(OmegaConf.select(config, key) == OmegaConf.select(wanted, key) for key in keys)
        return bool(same and stored["digest"] == result["digest"] and "test" in stored["metrics"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_effects(folder: Path, *, seeds: int) -> tuple[list[Effect], dict[str, Values], pd.DataFrame, list[LeftOut]]:
    """Read the effects of all bugs that have been run.

    Args:
        folder: folder of the whole study
        seeds: number of seeds; runs with this seed or a higher one are ignored

    Returns:
        the effects; the metrics of each base; the runs; and the run folders that were left out

    Raises:
        InputError: no base was run, or runs of one base differ in their epochs, corpus or test clips

    """
    every_run, _, left_out = read_runs(folder)
    runs = every_run[every_run.seed < seeds]
    if not runs.path.str.startswith(tuple(f"{base}/base/" for base in BASES)).any():
        raise InputError(f"{folder} has no run of a base with a seed below {seeds}. Run without --table first.")
    arms = {(base, arm): runs[runs.path.str.startswith(f"{base}/{arm}/")] for base in BASES for arm in ARMS}
    for base in BASES:
        _check_alike(pd.concat([arms[base, arm] for arm in ARMS]))
    bases = {base: _values(arms[base, "base"]) for base in BASES if len(arms[base, "base"])}
    effects = []
    for base, values in bases.items():
        for bug in BUGS:
            if bug.how[base] == RECOMPUTED:
                figures = {
                    run.seed: {"accuracy": study_metric(run.confusion["test"])}
                    for run in arms[base, "base"].itertuples()
                }
                # In released, the study's metric is the number with the bug.
                change = (values, figures) if base == "released" else (figures, values)
            elif bug.how[base] == EVALUATED:
                change = _read_measured(folder, base, bug, runs=arms[base, "base"]), values
            else:
                change = _values(arms[base, bug.name]), values
            if change[0]:
                effects.append(Effect(bug=bug, base=base, found=_differences(*change)))
    return effects, bases, runs, left_out


ARMS = ("base", *(bug.name for bug in BUGS))


def _values(runs: pd.DataFrame) -> Values:
    return {run["seed"]: {name: run[f"test/{name}"] for name in METRICS} for run in runs.to_dict(orient="records")}


def _read_measured(folder: Path, base: str, bug: Bug, *, runs: pd.DataFrame) -> Values:
    values = {}
    for run in runs.itertuples():
        path = folder / base / bug.name / f"seed-{run.seed}.json"
        if _measured(folder / run.path, path, bug.overrides(base)):
            metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]["test"]
            values[run.seed] = {name: 100 * metrics[name] for name in METRICS}
    return values


def _differences(arm: Values, baseline: Values) -> dict[str, PairedDifference]:
    differences = {}
    for name in METRICS:
        arm_values, baseline_values = (
            {seed: figures[name] for seed, figures in values.items() if name in figures} for values in (arm, baseline)
        )
        if arm_values and baseline_values:
            differences[name] = paired_difference(arm_values, baseline_values)
    return differences


def _check_alike(runs: pd.DataFrame) -> None:
    for run in runs.itertuples():
        expected, facts = (
            {"epochs": each.epochs, "corpus": each.corpus["digest"], "test utterances": each.clip_sets["test"]}
            for each in (runs.iloc[0], run)
        )
        for name in expected:
            if expected[name] != facts[name]:
                raise InputError(
                    f"runs {runs.index[0]} and {run.path} differ in {name}, so they cannot be paired. Move one out of "
                    "the folder."
                )


def table(effects: Sequence[Effect], base: str) -> pd.DataFrame:
    """Return a table of the effects in a base, one row per bug, in points."""
    rows = []
    for effect in effects:
        if effect.base == base:
            cells = [cell for name in METRICS for cell in _cells(effect.found.get(name))]
            pairs = str(len(next(iter(effect.found.values())).seeds))
            what = f"**{effect.bug.name}**: {effect.bug.description}"
            changed = "" if effect.bug.how[base] == RECOMPUTED else " ".join(effect.bug.overrides(base))
            rows.append((what, *cells, pairs, effect.bug.how[base], f"`{changed}`" if changed else NOTHING))
    metrics = (heading for name in METRICS for heading in (TITLES[name], "95 % interval"))
    return pd.DataFrame(rows, columns=[f"bug, {CHANGE[base]}", *metrics, "pairs", "how", "changed"])


def _cells(paired: PairedDifference | None) -> tuple[str, str]:
    if paired is None or paired.mean is None:
        return NOTHING, NOTHING
    interval = paired.why_no_interval if paired.interval is None else interval_text(*paired.interval)
    if paired.interval is None and all(abs(difference) < 1e-9 for difference in paired.differences):
        interval = "no change at any seed"
    return f"{paired.mean:+z.1f}", interval


def write(folder: Path, *, seeds: int, command: str, docs: Path | None) -> Path:
    """Write bugs.json, bugs.png and, last, bugs.md; return the path of bugs.md.

    Args:
        folder: folder of the whole study
        seeds: number of seeds, as in :func:`read_effects`
        command: command that makes these files
        docs: additional folder for the page and the figure

    """
    effects, bases, runs, left_out = read_effects(folder, seeds=seeds)
    panels = {
        f"{base}, one bug {CHANGE[base]}": {
            effect.bug.name: {TITLES[name]: difference for name, difference in effect.found.items()}
            for effect in effects
            if effect.base == base
        }
        for base in bases
    }
    figure = forest_figure(panels, "points of percent, mean and 95 % interval")
    synthetic = is_synthetic(runs)
    page = _page(effects, bases, runs, left_out, command=command, synthetic=synthetic)
    content = {
        "command": command,
        "unit": "percent",
        "synthetic": synthetic,
        "bases": {base: {str(seed): figures for seed, figures in values.items()} for base, values in bases.items()},
        "effects": [
            {"bug": effect.bug.name, "base": effect.base, "how": effect.bug.how[effect.base]}
            | {"overrides": list(effect.bug.overrides(effect.base))}
            | {name: asdict(difference) for name, difference in effect.found.items()}
            for effect in effects
        ],
    }
    write_json(folder / "bugs.json", content)
    for place in (folder, *([docs] if docs else [])):
        save(figure, place / "bugs.png")
        with write_atomically(place / "bugs.md") as file:
            file.write(page)
    return folder / "bugs.md"


def _page(
    effects: Sequence[Effect],
    bases: Mapping[str, Values],
    runs: pd.DataFrame,
    left_out: Sequence[LeftOut],
    *,
    command: str,
    synthetic: bool,
) -> str:
    first = runs.iloc[0]
    parts = [
        "# The effect of each bug of the study",
        f"**{SYNTHETIC}**" if synthetic else "",
        "`released` has all bugs of the study, and one at a time is fixed. `corrected` has none, and one at a time is "
        "reintroduced. The numbers are percentage points on the test set, changed minus unchanged, paired by seed, "
        "with Student-t intervals. In the first table, a positive number is the gain of a fix; in the second, a "
        "negative one is the cost of a bug. The intervals cover the variation over seeds only; other clips or speakers "
        "may give other effects. One interval in twenty excludes zero by chance, and each base has about twenty: read "
        "the narrowest ones and those farthest from zero first. Effects do not add up: one bug may mask another, and "
        "`corrected` also computes mel power and energy in dB and standardizes every feature, which no row here does.",
    ]
    for base, values in bases.items():
        means = ", ".join(f"{TITLES[name]} {mean_sd([v[name] for v in values.values()])} %" for name in METRICS)
        notes = [
            f"- {effect.bug.name}: {effect.bug.notes[base]}."
            for effect in effects
            if effect.base == base and base in effect.bug.notes
        ]
        missing = [d.name for d in BUGS if d.name not in {p.bug.name for p in effects if p.base == base}]
        parts += [
            f"## `{base}`, one bug {CHANGE[base]}",
            f"Unchanged: {means} over {len(values)} seeds.",
            markdown(table(effects, base)),
            "\n".join(notes),
            f"Not run yet: {', '.join(missing)}." if missing else "",
        ]
    parts += [
        "![Mean and interval of every effect](bugs.png)",
        "Left out, for all seeds:\n\n" + markdown(left_out_table(left_out)) if left_out else "",
        "## Origin",
        f"{first.corpus['name']}, {first.corpus['utterances']} utterances, split {first.choices.get('split')}, "
        f"{first.counts['test']} test utterances, dropout {first.choices.get('dropout')}, {first.epochs} epochs; "
        f"{commits(runs)}; torch {first.versions.get('torch')}.",
        f"Made by:\n\n```sh\n{command}\n```",
        f"*{TRAINED}*: separate runs; *{EVALUATED}*: the checkpoints of the base (`ser-evaluate`), because the bug "
        f"cannot change their weights; *{RECOMPUTED}*: from the predictions of the base.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not finished and write the table."""
    study = read_command_line(
        "bugs",
        "Run released with one bug fixed at a time and corrected with one reintroduced; write bugs.md, bugs.json "
        "and bugs.png. Finished runs are skipped on a rerun.",
        arguments,
    )
    folder, seeds, rest = study.folder, study.seeds, study.overrides

    def run() -> None:
        for base in BASES if not study.table else ():
            train(folder, base, "base", (), seeds=seeds, rest=rest)
            for bug in sorted(BUGS, key=lambda bug: bug.how[base] == TRAINED):
                if bug.how[base] == EVALUATED:
                    measure(folder, base, bug, seeds=seeds)
                elif bug.how[base] == TRAINED:
                    train(folder, base, bug.name, bug.overrides(base), seeds=seeds, rest=rest)
                write(folder, seeds=seeds, command=study.command, docs=study.docs)
        print(write(folder, seeds=seeds, command=study.command, docs=study.docs))

    exit_on_input_error("bugs", run)


if __name__ == "__main__":
    main()
