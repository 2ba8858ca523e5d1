"""``make table``: the systems that the study names or is held against, on the same clips, divided in the same ways.

Started again, it goes on where it was; the table is written anew after every part.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from studies.study import call, commits, mean_sd, over_folds, read_command_line, refuse_in_a_line

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.answer import SYNTHETIC
from ser_lightning.report.runs import LeftOut, Run, read_runs
from ser_lightning.report.tables import NOTHING, Table, left_out_table
from ser_lightning.runs import write_json


@dataclass(frozen=True, kw_only=True)
class Part:
    """Clips and how they are divided.

    Args:
        name: of the folder
        title: of the column
        words: overrides that choose corpus and split
        folds: of the cross-validation, 1 without one
        root: environment variable that names the corpus

    """

    name: str
    title: str
    words: Sequence[str]
    folds: int
    root: str = "RAVDESS_ROOT"


PARTS = (
    Part(name="released", title="RAVDESS, released split", words=("corpus=ravdess", "split=released"), folds=1),
    Part(name="random", title="RAVDESS, random 60/15/25", words=("corpus=ravdess", "split=random"), folds=1),
    Part(name="emobox", title="RAVDESS, new speakers", words=("corpus=ravdess", "split=emobox"), folds=6),
    Part(
        name="emodb",
        title="EmoDB, new speakers",
        words=("corpus=emodb", "split=speaker", "split.folds=5"),
        folds=5,
        root="EMODB_ROOT",
    ),
)
OWN = Part(name="published", title="RAVDESS, as published", words=("corpus=ravdess",), folds=1)
NEW_SPEAKERS = "emobox"  # its runs tell what a system costs


@dataclass(frozen=True, kw_only=True)
class System:
    """A system and what was published of it.

    Args:
        name: in the table and of the folder
        words: the experiment, and what is changed of it
        published: the figure that its authors or the study state
        differs: why ours is another
        beside: the part that comes nearest to where the published figure was measured
        metric: what the published figure is
        own: overrides that run it as published, its defects and its own protocol included; None where nothing differs
        own_folds: of that protocol
        seeds: at most; fewer than the others where a run takes long

    """

    name: str
    words: Sequence[str]
    published: str
    differs: str
    beside: str = "random"
    metric: str = "accuracy"
    own: Sequence[str] | None = None
    own_folds: int = 1
    seeds: int = 3


OTHER_CORPORA = "other corpora, other classes"

SYSTEMS = (
    System(
        name="cnn_bilstm",
        words=("experiment=corrected",),
        own=("experiment=released", "split=released"),
        published="58 % with dropout, as printed: 234 of 360 clips, 65.0 %",
        differs="the printed figure divides by batches; the counted one is reached, within the spread over seeds",
        beside="published",
    ),
    System(
        name="logistic",
        words=("experiment=logistic",),
        published="UAR 50.5 on 113 features, leaving one speaker out (an independent study)",
        differs="162 features and their functionals; six folds of speakers",
        beside="emobox",
        metric="uar",
    ),
    System(
        name="logistic_egemaps",
        words=("experiment=logistic", "features=egemaps"),
        published="UAR 53.1, leaving one speaker out (the same study)",
        differs="six folds of speakers learn from fewer",
        beside="emobox",
        metric="uar",
    ),
    System(
        name="logistic_compare",
        words=("experiment=logistic", "features=compare"),
        published="UAR 63.6, leaving one speaker out (the same study)",
        differs="six folds of speakers learn from fewer",
        beside="emobox",
        metric="uar",
    ),
    System(
        name="svm",
        words=("experiment=svm",),
        published="UAR 50.5 on 113 features, leaving one speaker out (the same study)",
        differs="162 features and their functionals; six folds of speakers",
        beside="emobox",
        metric="uar",
    ),
    System(
        name="svm_compare",
        words=("experiment=svm", "features=compare"),
        published="UAR 59.5, leaving one speaker out (the same study)",
        differs="six folds of speakers learn from fewer",
        beside="emobox",
        metric="uar",
    ),
    System(
        name="gmm",
        words=("experiment=gmm",),
        published="none that can be compared",
        differs=OTHER_CORPORA,
    ),
    System(
        name="dbn_svm",
        words=("experiment=dbn_svm",),
        published="95.8 % on CASIA, six emotions, models for men and for women (Zhu et al. 2017)",
        differs=f"{OTHER_CORPORA}; one model for men and women",
    ),
    System(
        name="kaggle_cnn",
        words=("experiment=kaggle_cnn",),
        own=("experiment=kaggle_cnn_published",),
        published="59 % on test, 50 % on validation (as the study quotes); about 61 % on four corpora",
        differs="published: copies were made before the split and the test set was the validation set",
        beside="published",
    ),
    System(
        name="lim_cnn",
        words=("experiment=lim_cnn",),
        published="about 87 % on EmoDB, mean of three networks (as the study quotes)",
        differs="theirs divides EmoDB otherwise, and not by speakers [unverified]",
        beside="emodb",
    ),
    System(
        name="lim_lstm",
        words=("experiment=lim_lstm",),
        published="the same",
        differs="the same; sizes of the LSTM are not known",
        beside="emodb",
    ),
    System(
        name="lim_tdcnn",
        words=("experiment=lim_tdcnn",),
        published="F1 86.7 on EmoDB [unverified]",
        differs="the same; smaller here",
        seeds=1,
        beside="emodb",
    ),
    System(
        name="drcnn",
        words=("experiment=drcnn",),
        own=("experiment=drcnn_published",),
        published="over 99 % on IEMOCAP, EmoDB and SAVEE with DAARIP; 41 % without (as the study quotes)",
        differs="an AlexNet of smaller images stands in for the network; DAARIP before the split tests what it taught",
        seeds=1,
        beside="published",
    ),
    System(
        name="drcnn_plain",
        words=("experiment=drcnn", "augment=none", "trainer.max_epochs=60"),
        published="41 % without DAARIP (as the study quotes)",
        differs="the same; beside `drcnn`, to see what DAARIP gives",
        seeds=1,
    ),
    System(
        name="crnn_attention",
        words=("experiment=crnn_attention",),
        published="WA 64.1, UA 56.4 on four classes of IEMOCAP (Mu et al. 2017)",
        differs=f"{OTHER_CORPORA}; the network is its nearest public relative",
        seeds=1,
    ),
    System(
        name="attention_fcn",
        words=("experiment=attention_fcn",),
        published="WA 70.4, UA 63.9 on four classes of IEMOCAP (Zhang et al. 2018)",
        differs=f"{OTHER_CORPORA}; theirs starts from ImageNet",
        seeds=1,
    ),
    System(
        name="res_lstm",
        words=("experiment=res_lstm",),
        published="UAR 62.3 ± 1.2, five folds of speakers (Mak-Sim 2026)",
        differs="theirs normalises by all files and searched 100 settings by the test folds",
        beside="emobox",
        metric="uar",
    ),
    System(
        name="tim_net",
        words=("experiment=tim_net",),
        own=("experiment=tim_net_published",),
        own_folds=10,
        published="UAR 90.0, accuracy 90.1, ten random folds (Ye et al. 2023, corrected)",
        differs="theirs trains 500 epochs; the seed of its folds was chosen for the corpus",
        seeds=1,
        beside="published",
        metric="uar",
    ),
)
CONTRAST = (
    ("drcnn_plain", "random", "without DAARIP"),
    ("drcnn", "random", "the split first, then DAARIP of the training clips"),
    ("drcnn", "published", "DAARIP first, then the split"),
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a system reaches in a part.

    Args:
        values: seed -> metric -> percent, over the test clips of all folds together
        clips: that are tested
        parameters: of the network, or numbers that a classical model keeps
        seconds: to train, of the median run
        unfinished: seeds of which a fold is missing; they are not counted
        leaks: what the audit of the runs found

    """

    values: Mapping[int, Mapping[str, float]]
    clips: int
    parameters: int
    seconds: float
    unfinished: Sequence[int]
    leaks: Sequence[str]

    def mean_sd(self, metric: str) -> str:
        """Return mean and sample standard deviation over seeds, in words."""
        return mean_sd([values[metric] for values in self.values.values()])


Scores = Mapping[str, Mapping[str, Score]]  # system -> part


def parts_of(system: System) -> list[Part]:
    """Return the parts that a system is run in."""
    own = [] if system.own is None else [replace(OWN, words=(*OWN.words, *system.own), folds=system.own_folds)]
    return [*own, *PARTS]


def train(folder: Path, system: System, part: Part, *, seeds: int, rest: Sequence[str]) -> None:
    """Train the runs of a system in a part that are not done yet."""
    fold = "fold-${split.fold}/" if part.folds > 1 else ""
    call(
        *("ser-train", "--multirun", *(system.words if part.name != OWN.name else ()), *part.words),
        *(f"name={folder.name}", f"output_root={folder.parent}"),
        *(f"run_id={system.name}/{part.name}/{fold}seed-${{seed}}", f"seed=range({min(seeds, system.seeds)})", *rest),
        *([f"split.fold=range({part.folds})"] if part.folds > 1 else []),
    )


def score(runs: Sequence[Run], system: System, part: Part) -> Score | None:
    """Put the folds of each seed together; None if no seed has them all."""
    own = [run for run in runs if run.path.startswith(f"{system.name}/{part.name}/")]
    values, unfinished = over_folds(own, folds=part.folds)
    if not values:
        return None
    return Score(
        values=values,
        clips=sum(int(run.confusion["test"].sum()) for run in own if run.seed == next(iter(values))),
        parameters=own[0].parameters,
        seconds=median(run.seconds.get("train", 0.0) for run in own),
        unfinished=unfinished,
        leaks=sorted({run.audit["summary"] for run in own if run.audit.get("leak")}),
    )


def results_table(scores: Scores, systems: Sequence[System]) -> Table:
    """Return a row a system: what it is, what it reaches in each part, what it costs."""
    parts = (OWN, *PARTS)
    rows = []
    for system in systems:
        if system.name not in scores:
            continue
        found = scores[system.name]
        one = found.get(NEW_SPEAKERS) or next(iter(found.values()))
        cells = [_cell(found.get(part.name)) for part in parts]
        seeds = ", ".join(sorted({str(len(one.values)) for one in found.values()}))
        rows.append((f"`{system.name}`", f"{one.parameters:,}", *cells, f"{one.seconds:.0f}", seeds))
    return Table(("system", "parameters", *(part.title for part in parts), "seconds", "seeds"), rows)


def _cell(one: Score | None) -> str:
    if one is None:
        return NOTHING
    return one.mean_sd("uar") + (" (leak)" if one.leaks else "")


def published_table(scores: Scores, systems: Sequence[System]) -> Table:
    """Return what was published beside what comes nearest to it here, and why they differ."""
    titles = {part.name: part.title for part in (OWN, *PARTS)}
    words = {"accuracy": "accuracy", "uar": "UAR"}
    rows = [
        (
            f"`{system.name}`",
            system.published,
            f"{words[system.metric]} {one.mean_sd(system.metric)} ({titles[system.beside]})" if one else NOTHING,
            system.differs,
        )
        for system in systems
        if system.name in scores
        for one in [scores[system.name].get(system.beside)]
    ]
    return Table(("system", "published", "here", "why they differ"), rows)


def contrast_table(scores: Scores) -> Table:
    """Return what DAARIP's copies do if the split comes first, and if they are made before it."""
    rows = [
        (words, found.mean_sd("accuracy"), found.mean_sd("uar"), str(found.clips), "yes" if found.leaks else "no")
        for name, part, words in CONTRAST
        if (found := scores.get(name, {}).get(part))
    ]
    return Table(("DRCNN, random 60/15/25", "accuracy", "UAR", "rows tested", "leak"), rows)


def write(folder: Path, *, command: str, docs: Path | None) -> Path:
    """Write systems.json and, last, systems.md; return the path of the latter.

    Raises:
        InputError: no system is complete in any part

    """
    runs, left_out = read_runs(folder)
    scores = {
        system.name: found
        for system in SYSTEMS
        if (found := {p.name: one for p in parts_of(system) if (one := score(runs, system, p))})
    }
    if not scores:
        raise InputError(
            f"{folder} holds no system with all folds of a part; let RAVDESS_ROOT or EMODB_ROOT name a corpus and run"
        )
    content = {
        "command": command,
        "unit": "percent",
        "synthetic": any("synthetic" in run.corpus["name"] for run in runs),
        "systems": {name: {part: asdict(one) for part, one in found.items()} for name, found in sorted(scores.items())},
    }
    page = _page(scores, runs, left_out, command=command)
    for place in (folder, *([docs] if docs else [])):
        write_json(place / "systems.json", content)
        with write_atomically(place / "systems.md") as file:
            file.write(page)
    return folder / "systems.md"


def _page(scores: Scores, runs: Sequence[Run], left_out: Sequence[LeftOut], *, command: str) -> str:
    first = runs[0]
    missing = [
        f"{name} in {part} (seeds {', '.join(map(str, one.unfinished))})"
        for name, found in scores.items()
        for part, one in found.items()
        if one.unfinished
    ]
    contrast = contrast_table(scores)
    lacking = [f"`{system.name}`" for system in SYSTEMS if system.name not in scores]
    parts = [
        "# The systems, on the same footing",
        f"**{SYNTHETIC}**" if any("synthetic" in run.corpus["name"] for run in runs) else "",
        "The study holds its figure against figures that others published of other data, splits and metrics. Here are "
        "those systems on the same clips, divided in the same ways, by the same code. UAR in percent on the test clips "
        "of all folds together, mean ± sample standard deviation over seeds. A checkpoint is chosen by validation, and "
        "the test set is looked at once. *As published* is the protocol of whoever published the system, with its "
        "leaks; the two random splits share speakers and takes between training and test (`ser-audit`), so that only "
        "the columns of new speakers say how well somebody is recognised who was never heard.",
        results_table(scores, SYSTEMS).markdown(),
        "Seconds are those of training the median run of the column of new speakers of RAVDESS, on one core beside "
        "another run. The number of seeds is lower where a run takes long.",
        "## Beside what was published",
        published_table(scores, SYSTEMS).markdown(),
        "## DAARIP before and after the split" if contrast.rows else "",
        "About 40 images of each spectrogram, all but the same picture. If they are made before the split, images of "
        "one recording lie on both sides of it."
        if contrast.rows
        else "",
        contrast.markdown() if contrast.rows else "",
        f"Not complete, and left out: {'; '.join(missing)}." if missing else "",
        f"Not run yet: {', '.join(lacking)}; the command below goes on." if lacking else "",
        "Left out:\n\n" + left_out_table(left_out).markdown() if left_out else "",
        "## Origin",
        f"{len(runs)} runs; {commits(runs)}; torch {first.versions.get('torch')}. The numbers of every seed are in "
        "systems.json.",
        f"Made by:\n\n```sh\n{command}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not done yet and write the table."""
    study = read_command_line(
        "systems",
        "Run every system in every part whose corpus its variable names; write systems.md and systems.json. Started "
        "again, it goes on where it was.",
        arguments,
        sweeps=[system.name for system in SYSTEMS],
    )
    chosen = [system for system in SYSTEMS if not study.sweeps or system.name in study.sweeps]

    def run() -> None:
        for part in (OWN, *PARTS):
            if study.table or not os.environ.get(part.root):
                continue
            for system in chosen:
                for own in parts_of(system):
                    if own.name == part.name:
                        train(study.folder, system, own, seeds=study.seeds, rest=study.overrides)
                        write(study.folder, command=study.command, docs=study.docs)
        print(write(study.folder, command=study.command, docs=study.docs))

    refuse_in_a_line("systems", run)


if __name__ == "__main__":
    main()
