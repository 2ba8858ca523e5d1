"""Find the recordings of the runs of a report, and the rates at which people recognize them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_lightning.build import build_corpus
from ser_lightning.corpora.audio_files import expand_path
from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.corpora.published import PublishedCorpus
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.errors import InputError, printable

EMODB_TABLE = "erkennung.txt"  # percent of 20 listeners who recognized the emotion, by recording


def recording_folders(corpus: str, config: Mapping[str, Any]) -> dict[str, Path]:
    """Return published corpus -> folder of its recordings; empty for a corpus that is not published.

    The folder is that of the config, or else that of the variable ``<CORPUS>_ROOT``: exported runs name no folder.

    Args:
        corpus: name of the corpus in the result; names of a pooled corpus are joined by ``+``
        config: section ``corpus`` of the config of the run

    Raises:
        InputError: a folder does not exist

    """
    names = corpus.split("+")
    if not DEFINITIONS.keys() >= set(names):
        return {}
    folders = {}
    for name in names:
        variable = f"{name.upper()}_ROOT"
        root_given = config.get("parts", {}).get(name, config).get("root")
        roots = [root for root in map(expand_path, (root_given, os.environ.get(variable))) if root is not None]
        folder = next((root for root in roots if root.is_dir()), None)
        if folder is None:
            where = " and ".join(printable(root) for root in roots) or "no folder is known"
            raise InputError(
                f"The recordings of {DEFINITIONS[name].title} were not found ({where}). Set {variable} to their folder."
            )
        folders[name] = folder
    return folders


def recordings_by_id(folders: Mapping[str, Path], config: Mapping[str, Any]) -> dict[str, Utterance]:
    """Return the id of each utterance in the results -> its recording.

    Args:
        folders: result of :func:`recording_folders`
        config: section ``corpus`` of the config of the run

    Raises:
        InputError: a corpus cannot be read

    """
    if not folders:
        return {utterance.id: utterance for utterance in build_corpus(config).scan().utterances}
    utterances: dict[str, Utterance] = {}
    for name, root in folders.items():
        corpus = PublishedCorpus(
            name=name,
            root=root,
            on_problem="skip",  # the runs have checked the corpus
            follow_links=True,
            download=False,
            downmix="mean",
            merge=None,
        )
        prefix = f"{name}/" if len(folders) > 1 else ""  # as in a pooled corpus
        utterances |= {prefix + utterance.id: utterance for utterance in corpus.scan().utterances}
    return utterances


def listener_rates(recordings: Mapping[str, Utterance], folders: Mapping[str, Path]) -> dict[str, float]:
    """Return id -> percent of listeners who recognized the emotion of this recording, where it is published.

    EmoDB has a table by recording, which is read if it lies in the folder of the corpus or in the one above.
    """
    emodb = _read_emodb(folders["emodb"]) if "emodb" in folders else {}
    return {
        name: emodb[utterance.id]
        for name, utterance in recordings.items()
        if utterance.corpus == "emodb" and utterance.id in emodb
    }


def _read_emodb(root: Path) -> dict[str, float]:
    path = next((folder / EMODB_TABLE for folder in (root, root.parent) if (folder / EMODB_TABLE).is_file()), None)
    if path is None:
        return {}
    rates = {}
    for line in path.read_text(encoding="latin-1").splitlines()[1:]:
        cells = [cell.strip() for cell in line.split("\t")]
        try:
            rates[Path(cells[1]).stem] = float(cells[2].replace(",", "."))
        except (IndexError, ValueError):
            continue  # an empty line, or a recording without a rating
    return rates
