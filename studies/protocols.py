"""``make protocols``: evaluate one configuration under every split protocol and compare how optimistic each is.

Finished runs are skipped on a rerun; the table is rewritten after every protocol. If runs have been deleted, ``--docs``
keeps their scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from studies.scores import Score, made_by, measure, origin, publish, setting
from studies.study import Study, call, exit_on_input_error, mean_sd, read_command_line

from ser_lightning.report.answer import SYNTHETIC
from ser_lightning.report.runs import LeftOut
from ser_lightning.report.tables import NOTHING, left_out_table, markdown

REFERENCE = "speaker"  # the protocol that the others are compared with: unseen speakers, as in practice


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A way to split a corpus.

    Args:
        split: option of the config group ``split``
        new: what is new in the test clips compared with the training clips, in words
        folds: number of cross-validation folds; None for a single split
        only: the corpus it is made for; None for any

    """

    split: str
    new: str
    folds: int | None = None
    only: str | None = None


PROTOCOLS = (
    Protocol(split="random", new="nothing: clips drawn at random"),
    Protocol(split="released", new="nothing: the study's own split", only="ravdess"),
    Protocol(split="take", new="the utterance: takes stay together"),
    Protocol(split="statement", new="the sentence", folds=2),
    Protocol(split="speaker", new="the speaker", folds=6),
    Protocol(split="emobox", new="the speaker, folds of EmoBox", folds=6, only="ravdess"),
    Protocol(split="speaker_statement", new="the speaker and the sentence", folds=12),
    # These are last because they take as long as all others together.
    Protocol(split="kfold", new="nothing: ten folds of clips drawn at random", folds=10),
    Protocol(split="loso", new="the speaker, one at a time", folds=24, only="ravdess"),
)


def train(folder: Path, protocol: Protocol, *, seeds: int, rest: Sequence[str]) -> None:
    """Train the runs of a protocol that are not finished."""
    fold = "fold-${split.fold}/" if protocol.folds else ""
    call(
        *("ser-train", "--multirun", f"split={protocol.split}", f"name={folder.name}", f"output_root={folder.parent}"),
        *(f"run_id={protocol.split}/{fold}seed-${{seed}}", f"seed=range({seeds})", *rest),
        *([f"split.fold=range({protocol.folds})"] if protocol.folds else []),
    )


def table(scores: Mapping[str, Score]) -> pd.DataFrame:
    """Return a table with one row per protocol, compared with the reference protocol by paired seeds."""
    reference = scores[REFERENCE].values if REFERENCE in scores else {}
    rows = []
    for protocol in PROTOCOLS:
        if (score := scores.get(protocol.split)) is None:
            continue
        shared = sorted(set(score.values) & set(reference))
        inflation = [score.values[seed]["uar"] - reference[seed]["uar"] for seed in shared]
        against = NOTHING if protocol.split == REFERENCE or not shared else mean_sd(inflation)
        runs = f"{len(score.values)} x {protocol.folds or 1}"
        figures = (score.mean_sd("accuracy"), score.mean_sd("uar"), against, "yes" if score.leaks else "no")
        rows.append((f"`{protocol.split}`", protocol.new, runs, str(score.training_clips), str(score.clips), *figures))
    headings = (
        "split",
        "new in the test",
        "seeds x folds",
        "training clips a fold",
        "test clips",
        "accuracy",
        "UAR",
        "UAR above `speaker`",
        "leak",
    )
    return pd.DataFrame(rows, columns=headings)


def write(study: Study) -> Path:
    """Write protocols.json and, last, protocols.md; return the path of protocols.md.

    Raises:
        InputError: no protocol is complete for any seed

    """
    measured, left_out = measure(study, {protocol.split: protocol.folds or 1 for protocol in PROTOCOLS})
    return publish(study, measured, lambda scores: _page(scores, left_out, study))


def _page(scores: Mapping[str, Score], left_out: Sequence[LeftOut], study: Study) -> str:
    missing = [
        f"{name} (seeds {', '.join(map(str, score.unfinished))})" for name, score in scores.items() if score.unfinished
    ]
    corpus = _corpus(study)
    lacking = [f"`{p.split}`" for p in PROTOCOLS if p.split not in scores and p.only in (None, corpus)]
    epochs = sorted({score.epochs for score in scores.values()})
    parts = [
        "# One configuration under every protocol",
        f"**{SYNTHETIC}**" if "synthetic" in corpus else "",
        "The same network, trained in the same way; only the split of the corpus differs. Percent on the pooled test"
        " clips of all folds, mean ± sample standard deviation over seeds. `speaker` answers the practical question:"
        " how well are unseen speakers recognized? What a protocol shows above that is how optimistic it is. The"
        " protocols also train on different numbers of clips, as the table shows.",
        markdown(table(scores)),
        f"Left out because folds are missing: {'; '.join(missing)}." if missing else "",
        f"Not run yet, or not with all folds: {', '.join(lacking)}. The command below resumes." if lacking else "",
        *(_audit(p, scores[p.split].leaks) for p in PROTOCOLS if p.split in scores),
        "Left out:\n\n" + markdown(left_out_table(left_out)) if left_out else "",
        "## Origin",
        f"Every run with `{' '.join(setting(study.overrides))}`, {', '.join(map(str, epochs))} epochs.",
        origin(list(scores.values())),
        made_by(study),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _audit(protocol: Protocol, leaks: Sequence[str]) -> str:
    if not leaks:
        return ""
    more = (
        f" The other folds have similar leaks; protocols.json has their {len(leaks) - 1} lines."
        if len(leaks) > 1
        else ""
    )
    return f"`{protocol.split}`, audit: {leaks[-1]}.{more}"


def _corpus(study: Study) -> str:
    corpora = (word.removeprefix("corpus=") for word in study.overrides if word.startswith("corpus="))
    return next(corpora, "ravdess")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not finished and write the table."""
    study = read_command_line(
        "protocols",
        "Run one configuration under every protocol; write protocols.md and protocols.json. Finished runs are skipped "
        "on a rerun; --docs keeps the scores of deleted runs.",
        arguments,
        sweeps=[protocol.split for protocol in PROTOCOLS],
    )

    def run() -> None:
        for protocol in PROTOCOLS:
            wanted = not study.sweeps or protocol.split in study.sweeps
            if not study.table and wanted and protocol.only in (None, _corpus(study)):
                train(study.folder, protocol, seeds=study.seeds, rest=study.overrides)
                write(study)
        print(write(study))

    exit_on_input_error("protocols", run)


if __name__ == "__main__":
    main()
