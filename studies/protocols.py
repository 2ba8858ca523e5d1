"""``make protocols``: one configuration under every protocol, and how much each flatters it.

Started again, it goes on where it was; the table is written anew after every protocol.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from studies.study import call, commits, mean_sd, over_folds, read_command_line, refuse_in_a_line

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import InputError
from ser_lightning.report.answer import SYNTHETIC
from ser_lightning.report.runs import LeftOut, Run, read_runs
from ser_lightning.report.tables import NOTHING, Table, left_out_table
from ser_lightning.runs import write_json

REFERENCE = "speaker"  # what the others are held against: new speakers, as in use


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A way to divide a corpus.

    Args:
        split: option of the group
        new: what training has not heard of the clips that are tested, in words
        folds: of the cross-validation; None where there is one draw
        only: the corpus it is made for, None for any

    """

    split: str
    new: str
    folds: int | None = None
    only: str | None = None


PROTOCOLS = (
    Protocol(split="random", new="nothing: clips drawn at random"),
    Protocol(split="released", new="nothing: the study's own draw", only="ravdess"),
    Protocol(split="take", new="the utterance: takes stay together"),
    Protocol(split="statement", new="the sentence", folds=2),
    Protocol(split="speaker", new="the speaker", folds=6),
    Protocol(split="emobox", new="the speaker, folds of EmoBox", folds=6, only="ravdess"),
    Protocol(split="speaker_statement", new="the speaker and the sentence", folds=12),
    # Last, for these take as long as all the others.
    Protocol(split="kfold", new="nothing: ten folds of clips drawn at random", folds=10),
    Protocol(split="loso", new="the speaker, one at a time", folds=24, only="ravdess"),
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a protocol says of the configuration.

    Args:
        protocol: which
        values: seed -> metric -> percent, over the test clips of all folds together
        taught: clips that a fold learns from, without copies
        clips: that are tested in all
        unfinished: seeds of which a fold is missing; they are not counted
        leaks: what the audit of the runs found

    """

    protocol: Protocol
    values: Mapping[int, Mapping[str, float]]
    taught: int
    clips: int
    unfinished: Sequence[int]
    leaks: Sequence[str]


def train(folder: Path, protocol: Protocol, *, seeds: int, rest: Sequence[str]) -> None:
    """Train the runs of a protocol that are not done yet."""
    fold = "fold-${split.fold}/" if protocol.folds else ""
    call(
        *("ser-train", "--multirun", f"split={protocol.split}", f"name={folder.name}", f"output_root={folder.parent}"),
        *(f"run_id={protocol.split}/{fold}seed-${{seed}}", f"seed=range({seeds})", *rest),
        *([f"split.fold=range({protocol.folds})"] if protocol.folds else []),
    )


def score(protocol: Protocol, runs: Sequence[Run], *, seeds: int) -> Score | None:
    """Put the folds of each seed together; None if no seed has them all."""
    own = [run for run in runs if run.seed < seeds and run.path.startswith(f"{protocol.split}/")]
    values, unfinished = over_folds(own, folds=protocol.folds or 1)
    if not values:
        return None
    return Score(
        protocol=protocol,
        values=values,
        taught=own[0].counts["train"],
        clips=sum(int(run.confusion["test"].sum()) for run in own if run.seed == next(iter(values))),
        unfinished=unfinished,
        leaks=sorted({run.audit["summary"] for run in own if run.audit.get("leak")}),
    )


def table(scores: Sequence[Score]) -> Table:
    """Return a row a protocol; the last column is against new speakers, paired by seed."""
    reference = next((s.values for s in scores if s.protocol.split == REFERENCE), {})
    rows = []
    for one in scores:
        cells = [mean_sd([v[name] for v in one.values.values()]) for name in ("accuracy", "uar")]
        shared = sorted(set(one.values) & set(reference))
        inflation = [one.values[seed]["uar"] - reference[seed]["uar"] for seed in shared]
        against = NOTHING if one.protocol.split == REFERENCE or not shared else mean_sd(inflation)
        runs = f"{len(one.values)} x {one.protocol.folds or 1}"
        leak = "yes" if one.leaks else "no"
        rows.append(
            (f"`{one.protocol.split}`", one.protocol.new, runs, str(one.taught), str(one.clips), *cells, against, leak)
        )
    headings = (
        "split",
        "new in the test",
        "seeds x folds",
        "training clips a fold",
        "test clips",
        "accuracy",
        "UAR",
        "UAR above `speaker`",
    )
    return Table((*headings, "leak"), rows)


def write(folder: Path, *, seeds: int, command: str, docs: Path | None) -> Path:
    """Write protocols.json and, last, protocols.md; return the path of the latter.

    Raises:
        InputError: no protocol is complete for any seed

    """
    runs, left_out = read_runs(folder)
    scores = [found for protocol in PROTOCOLS if (found := score(protocol, runs, seeds=seeds))]
    if not scores:
        raise InputError(f"{folder} holds no protocol with all its folds; run without --table first")
    content = {
        "command": command,
        "unit": "percent",
        "synthetic": any("synthetic" in run.corpus["name"] for run in runs),
        "protocols": {
            s.protocol.split: {"folds": s.protocol.folds or 1, "test_clips": s.clips, "leaks": s.leaks}
            | {"seeds": {str(seed): values for seed, values in s.values.items()}}
            for s in scores
        },
    }
    for path in (folder / "protocols.json", *([docs / "results" / "protocols.json"] if docs else [])):
        write_json(path, content)
    page = _page(scores, runs, left_out, command=command)
    for place in (folder, *([docs] if docs else [])):
        with write_atomically(place / "protocols.md") as file:
            file.write(page)
    return folder / "protocols.md"


def _page(scores: Sequence[Score], runs: Sequence[Run], left_out: Sequence[LeftOut], *, command: str) -> str:
    first = runs[0]
    missing = [f"{s.protocol.split} (seeds {', '.join(map(str, s.unfinished))})" for s in scores if s.unfinished]
    known, corpus = {s.protocol.split for s in scores}, first.corpus["name"]
    lacking = [f"`{p.split}`" for p in PROTOCOLS if p.split not in known and p.only in (None, corpus)]
    parts = [
        "# One configuration under every protocol",
        f"**{SYNTHETIC}**" if any("synthetic" in run.corpus["name"] for run in runs) else "",
        "The same network, trained in the same way, and only the division of the corpus differs. Percent on the test"
        " clips of all folds together, mean ± sample standard deviation over seeds. `speaker` asks the question of use:"
        " how well is somebody recognised who was never heard? What a protocol shows above that is what it flatters by."
        " Protocols learn from sets of different size too: that is in the table, and in the figures.",
        table(scores).markdown(),
        f"Not complete, and left out: {'; '.join(missing)}." if missing else "",
        f"Not run yet, or not with all folds: {', '.join(lacking)}; the command below goes on." if lacking else "",
        *(f"`{s.protocol.split}`, audit: {text}." for s in scores for text in s.leaks),
        "Left out:\n\n" + left_out_table(left_out).markdown() if left_out else "",
        "## Origin",
        f"{first.corpus['name']}, {first.corpus['utterances']} utterances, dropout {first.choices.get('dropout')}, "
        f"{first.epochs} epochs; {commits(runs)}; torch {first.versions.get('torch')}.",
        f"Made by:\n\n```sh\n{command}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not done yet and write the table."""
    study = read_command_line(
        "protocols",
        "Run one configuration under every protocol; write protocols.md and protocols.json. Started again, it goes on "
        "where it was.",
        arguments,
    )
    given = (word.removeprefix("corpus=") for word in study.overrides if word.startswith("corpus="))
    corpus = next(given, "ravdess")

    def run() -> None:
        for protocol in PROTOCOLS:
            if not study.table and protocol.only in (None, corpus):
                train(study.folder, protocol, seeds=study.seeds, rest=study.overrides)
                write(study.folder, seeds=study.seeds, command=study.command, docs=study.docs)
        print(write(study.folder, seeds=study.seeds, command=study.command, docs=study.docs))

    refuse_in_a_line("protocols", run)


if __name__ == "__main__":
    main()
