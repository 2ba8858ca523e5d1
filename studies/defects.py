"""``make defects``: the effect of each bug of the study on test accuracy and UAR, in points.

``released`` is run with one bug fixed at a time, and ``corrected`` with one bug reintroduced at a time, over the same
seeds. Finished runs are skipped on a rerun; the table is rewritten after every step.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from omegaconf import OmegaConf
from studies.study import call, commits, mean_sd, read_command_line, refuse_in_a_line

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.metrics import study_metric
from ser_lightning.report.answer import SYNTHETIC
from ser_lightning.report.figures import forest_figure, save
from ser_lightning.report.runs import LeftOut, Run, read_runs
from ser_lightning.report.statistics import PairedDifference, paired_difference
from ser_lightning.report.tables import NOTHING, Table, interval_text, left_out_table
from ser_lightning.results import write_json

BASES = ("released", "corrected")
DONE_TO = {"released": "mended", "corrected": "put back"}
METRICS = ("accuracy", "uar")
TITLES = {"accuracy": "test accuracy", "uar": "test UAR"}
TRAINED, MEASURED, COUNTED = "trained", "measured again", "counted again"
STUDY_BATCHES = ("data.eval_batch_size=100", "data.eval_shuffle=true")
Values = dict[int, dict[str, float]]  # seed -> metric -> percent


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One bug of the original study.

    Args:
        name: name of its row and of the folder of its runs
        what: description of what the study does
        mended: overrides that fix it in ``released``
        put_back: overrides that reintroduce it in ``corrected``
        how: base -> how the effect is measured: ``TRAINED`` trains new runs, ``MEASURED`` evaluates the checkpoints of
            the base again, ``COUNTED`` recomputes the metric from the predictions of the base. Training is skipped only
            if the weights cannot differ.
        notes: base -> remark needed to interpret the number

    """

    name: str
    what: str
    mended: tuple[str, ...]
    put_back: tuple[str, ...]
    how: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(BASES, TRAINED))
    notes: Mapping[str, str] = field(default_factory=dict)

    def overrides(self, base: str) -> tuple[str, ...]:
        """Return the overrides that change a base."""
        return self.mended if base == "released" else self.put_back


DEFECTS = (
    Defect(
        name="arithmetic",
        what="correct clips are divided by the number of batches of 100",
        mended=("study_metric=false",),
        put_back=("study_metric=true",),
        how=dict.fromkeys(BASES, COUNTED),
        notes=dict.fromkeys(
            BASES, "the figure that is printed changes and the predictions do not; the study has no such figure of UAR"
        ),
    ),
    Defect(
        name="training-mode",
        what="dropout and the statistics of the batch while measuring",
        mended=("evaluation.training_mode=false",),
        put_back=("evaluation.training_mode=true", *STUDY_BATCHES),
        how={"released": MEASURED, "corrected": TRAINED},
        notes={
            "released": "the running statistics that are used then have taken in the measured clips: that defect stays",
            "corrected": "in the study's batches, which by themselves change nothing there (random-batches); trained "
            "again because validation chooses the checkpoint",
        },
    ),
    Defect(
        name="updated-statistics",
        what="BatchNorm's running statistics take in the measured clips",
        mended=("evaluation.update_statistics=false",),
        put_back=("evaluation.update_statistics=true", *STUDY_BATCHES),
        how={"released": MEASURED, "corrected": TRAINED},
        notes={
            "released": "mended alone it can change nothing: in training mode nobody looks at the running statistics",
            "corrected": "in the study's batches, as training-mode; trained again because validation moves the "
            "statistics every epoch, and the checkpoint keeps them",
        },
    ),
    Defect(
        name="random-batches",
        what="a clip is measured in random company of 100",
        mended=("data.eval_shuffle=false", "data.bucket=true"),
        put_back=STUDY_BATCHES,
        how=dict.fromkeys(BASES, MEASURED),
        notes={
            "released": "cannot be mended alone: while padding is heard and the batch gives the statistics, the score "
            "of a clip depends on its company, whatever that is; shown are batches sorted by length instead",
            "corrected": "a clip scores the same in any company there, up to rounding",
        },
    ),
    Defect(
        name="last-epoch",
        what="the last epoch is tested, whatever validation said",
        mended=("checkpoint=best",),
        put_back=("checkpoint=last",),
        how=dict.fromkeys(BASES, MEASURED),
        notes={"released": "the best epoch is chosen by the validation UAR, measured as the study measures"},
    ),
    Defect(
        name="padding",
        what="the LSTM and the pooling over time hear the padding",
        mended=("model.masked=true",),
        put_back=("model.masked=false",),
    ),
    Defect(
        name="rate-label",
        what="22.05 kHz under filterbanks of 16 kHz",
        mended=("features.analysis_rate=16000",),
        put_back=("features.analysis_rate=22050",),
    ),
    Defect(
        name="stereo",
        what="stereo clips: left and right samples by turns",
        mended=("corpus.downmix=mean",),
        put_back=("corpus.downmix=interleave",),
        notes=dict.fromkeys(BASES, "5 of RAVDESS's 1440 clips are stereo, none of them in the released test set"),
    ),
    Defect(
        name="pcm16",
        what="copies are saved as 16-bit files",
        mended=("augment.pcm16=false",),
        put_back=("augment.pcm16=true",),
    ),
    Defect(
        name="resampler",
        what="resampled without a filter",
        mended=("audio.resampler=soxr",),
        put_back=("audio.resampler=linear",),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Price:
    """Effect of one bug in one base.

    Args:
        defect: the bug
        base: ``"released"`` or ``"corrected"``
        found: metric -> difference from the base by seed, in points; metrics that do not apply are missing

    """

    defect: Defect
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


def measure(folder: Path, base: str, defect: Defect, *, seeds: int) -> None:
    """Evaluate the trained runs of a base again, unless that result exists."""
    for seed in range(seeds):
        run, output = folder / base / "base" / f"seed-{seed}", folder / base / defect.name / f"seed-{seed}.json"
        if not _measured(run, output, defect.overrides(base)):
            call("ser-evaluate", str(run), "--output", str(output), *_settings(defect.overrides(base)))


def _settings(overrides: Sequence[str]) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def _measured(run: Path, output: Path, overrides: Sequence[str]) -> bool:
    """Return whether a file holds the result of exactly this run under these overrides."""
    try:
        found, result = (json.loads(path.read_text(encoding="utf-8")) for path in (output, run / "result.json"))
        config, wanted = OmegaConf.create(found["config"]), OmegaConf.from_dotlist(list(overrides))
        keys = [word.partition("=")[0] for word in overrides]
        same = all(OmegaConf.select(config, key) == OmegaConf.select(wanted, key) for key in keys)
        return bool(same and found["digest"] == result["digest"] and "test" in found["metrics"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_prices(folder: Path, *, seeds: int) -> tuple[list[Price], dict[str, Values], list[Run], list[LeftOut]]:
    """Read the effects of all bugs that have been run.

    Args:
        folder: folder of the whole study
        seeds: number of seeds; runs with this seed or a higher one are ignored

    Returns:
        the effects; the metrics of each base; the runs; and the run folders that were left out

    Raises:
        InputError: no base was run, or runs of one base differ in their epochs, corpus or test clips

    """
    found, left_out = read_runs(folder)
    runs = [run for run in found if run.seed < seeds]
    if not any(run.path.startswith(tuple(f"{base}/base/" for base in BASES)) for run in runs):
        raise InputError(f"{folder} holds no run of a base with a seed below {seeds}; run without --table first")
    of = {(base, arm): [run for run in runs if run.path.startswith(f"{base}/{arm}/")] for base in BASES for arm in ARMS}
    for base in BASES:
        _check_alike([run for arm in ARMS for run in of[base, arm]])
    bases = {base: _values(of[base, "base"]) for base in BASES if of[base, "base"]}
    prices = []
    for base, values in bases.items():
        for defect in DEFECTS:
            if defect.how[base] == COUNTED:
                figures = {run.seed: {"accuracy": study_metric(run.confusion["test"])} for run in of[base, "base"]}
                # In released, the study's metric is the number with the bug.
                change = (values, figures) if base == "released" else (figures, values)
            elif defect.how[base] == MEASURED:
                change = _read_measured(folder, base, defect, runs=of[base, "base"]), values
            else:
                change = _values(of[base, defect.name]), values
            if change[0]:
                prices.append(Price(defect=defect, base=base, found=_differences(*change)))
    return prices, bases, runs, left_out


ARMS = ("base", *(defect.name for defect in DEFECTS))


def _values(runs: Sequence[Run]) -> Values:
    return {run.seed: {name: 100 * run.metrics["test"][name] for name in METRICS} for run in runs}


def _read_measured(folder: Path, base: str, defect: Defect, *, runs: Sequence[Run]) -> Values:
    values = {}
    for run in runs:
        path = folder / base / defect.name / f"seed-{run.seed}.json"
        if _measured(folder / run.path, path, defect.overrides(base)):
            metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]["test"]
            values[run.seed] = {name: 100 * metrics[name] for name in METRICS}
    return values


def _differences(arm: Values, baseline: Values) -> dict[str, PairedDifference]:
    found = {}
    for name in METRICS:
        one, other = (
            {seed: figures[name] for seed, figures in values.items() if name in figures} for values in (arm, baseline)
        )
        if one and other:
            found[name] = paired_difference(one, other)
    return found


def _check_alike(runs: Sequence[Run]) -> None:
    for run in runs:
        one, other = (
            {"epochs": each.epochs, "corpus": each.corpus["digest"], "test utterances": each.test_set}
            for each in (runs[0], run)
        )
        for name in one:
            if one[name] != other[name]:
                raise InputError(
                    f"runs {runs[0].path} and {run.path} differ in {name}: they are no pair; move one out of the folder"
                )


def table(prices: Sequence[Price], base: str) -> Table:
    """Return a table of the effects in a base, one row per bug, in points."""
    rows = []
    for price in prices:
        if price.base == base:
            cells = [cell for name in METRICS for cell in _cells(price.found.get(name))]
            pairs = str(len(next(iter(price.found.values())).seeds))
            what = f"**{price.defect.name}**: {price.defect.what}"
            changed = "" if price.defect.how[base] == COUNTED else " ".join(price.defect.overrides(base))
            rows.append((what, *cells, pairs, price.defect.how[base], f"`{changed}`" if changed else NOTHING))
    metrics = (heading for name in METRICS for heading in (TITLES[name], "95 % interval"))
    return Table((f"defect, {DONE_TO[base]}", *metrics, "pairs", "how", "changed"), rows)


def _cells(found: PairedDifference | None) -> tuple[str, str]:
    if found is None or found.mean is None:
        return NOTHING, NOTHING
    interval = found.why_no_interval if found.interval is None else interval_text(*found.interval)
    if found.interval is None and all(abs(difference) < 1e-9 for difference in found.differences):
        interval = "no change at any seed"
    return f"{found.mean:+z.1f}", interval


def write(folder: Path, *, seeds: int, command: str, docs: Path | None) -> Path:
    """Write defects.json, defects.png and, last, defects.md; return the path of defects.md.

    Args:
        folder: folder of the whole study
        seeds: number of seeds, as in :func:`read_prices`
        command: command that makes these files
        docs: additional folder for the page and the figure

    """
    prices, bases, runs, left_out = read_prices(folder, seeds=seeds)
    panels = {
        f"{base}, one defect {DONE_TO[base]}": {
            price.defect.name: {TITLES[name]: found for name, found in price.found.items()}
            for price in prices
            if price.base == base
        }
        for base in bases
    }
    figure = forest_figure(panels, "points of percent, mean and 95 % interval")
    synthetic = any("synthetic" in run.corpus["name"] for run in runs)
    page = _page(prices, bases, runs, left_out, command=command, synthetic=synthetic)
    content = {
        "command": command,
        "unit": "percent",
        "synthetic": synthetic,
        "bases": {base: {str(seed): figures for seed, figures in values.items()} for base, values in bases.items()},
        "prices": [
            {"defect": price.defect.name, "base": price.base, "how": price.defect.how[price.base]}
            | {"overrides": list(price.defect.overrides(price.base))}
            | {name: asdict(found) for name, found in price.found.items()}
            for price in prices
        ],
    }
    write_json(folder / "defects.json", content)
    for place in (folder, *([docs] if docs else [])):
        save(figure, place / "defects.png")
        with write_atomically(place / "defects.md") as file:
            file.write(page)
    return folder / "defects.md"


def _page(
    prices: Sequence[Price],
    bases: Mapping[str, Values],
    runs: Sequence[Run],
    left_out: Sequence[LeftOut],
    *,
    command: str,
    synthetic: bool,
) -> str:
    first = runs[0]
    parts = [
        "# What each defect of the study is worth",
        f"**{SYNTHETIC}**" if synthetic else "",
        "`released` has every defect of the study: one at a time is mended. `corrected` has none: one at a time is put "
        "back. The figures are points of percent on the test set, changed minus unchanged, paired by seed, with "
        "Student-t intervals: in the first table a positive figure is what mending wins, in the second a negative one "
        "is what the defect costs. An interval is of the seed alone: other clips or speakers may price otherwise. One "
        "interval in twenty excludes zero where there is nothing, and there are about twenty for each base: read the "
        "narrowest and the farthest from zero first. "
        "Prices do not add up: a defect may hide behind another, and `corrected` also takes the mel power and the "
        "energy in dB and standardises every row, which no row here does.",
    ]
    for base, values in bases.items():
        means = ", ".join(f"{TITLES[name]} {mean_sd([v[name] for v in values.values()])} %" for name in METRICS)
        notes = [
            f"- {price.defect.name}: {price.defect.notes[base]}."
            for price in prices
            if price.base == base and base in price.defect.notes
        ]
        missing = [d.name for d in DEFECTS if d.name not in {p.defect.name for p in prices if p.base == base}]
        parts += [
            f"## `{base}`, one defect {DONE_TO[base]}",
            f"Unchanged: {means} over {len(values)} seeds.",
            table(prices, base).markdown(),
            "\n".join(notes),
            f"Not run yet: {', '.join(missing)}." if missing else "",
        ]
    parts += [
        "![Mean and interval of every price](defects.png)",
        "Left out, whatever the seed:\n\n" + left_out_table(left_out).markdown() if left_out else "",
        "## Origin",
        f"{first.corpus['name']}, {first.corpus['utterances']} utterances, split {first.choices.get('split')}, "
        f"{first.counts['test']} test utterances, dropout {first.choices.get('dropout')}, {first.epochs} epochs; "
        f"{commits(runs)}; torch {first.versions.get('torch')}.",
        f"Made by:\n\n```sh\n{command}\n```",
        f"*{TRAINED}*: runs of its own; *{MEASURED}*: the runs of the base, from their checkpoints (`ser-evaluate`), "
        f"because the defect cannot change their weights; *{COUNTED}*: the predictions of the base.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not finished and write the table."""
    study = read_command_line(
        "defects",
        "Run released with one defect mended at a time and corrected with one put back; write defects.md, defects.json "
        "and defects.png. Started again, it goes on where it was.",
        arguments,
    )
    folder, seeds, rest = study.folder, study.seeds, study.overrides

    def run() -> None:
        for base in BASES if not study.table else ():
            train(folder, base, "base", (), seeds=seeds, rest=rest)
            for defect in sorted(DEFECTS, key=lambda defect: defect.how[base] == TRAINED):
                if defect.how[base] == MEASURED:
                    measure(folder, base, defect, seeds=seeds)
                elif defect.how[base] == TRAINED:
                    train(folder, base, defect.name, defect.overrides(base), seeds=seeds, rest=rest)
                write(folder, seeds=seeds, command=study.command, docs=study.docs)
        print(write(folder, seeds=seeds, command=study.command, docs=study.docs))

    refuse_in_a_line("defects", run)


if __name__ == "__main__":
    main()
