"""Choose and check, before any work is done, where predictions are written and in which format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ser_lightning.audio.sound import open_sound
from ser_lightning.errors import InputError, printable, suggestion
from ser_lightning.output import STANDARD_OUTPUT, Output, expand_user
from ser_lightning.output_checks import check_folder, check_output, check_path
from ser_lightning.predict.formats import FORMATS, WITH_SETS, Format
from ser_lightning.predict.inputs import Recording, names_of_files, valid_text
from ser_lightning.predict.segment import SegmentPrediction
from ser_lightning.predict.writer import DocumentWriter, TableWriter, Writer

PNG, HTML = TIMELINES = (".png", ".html")
JSON_FORMATS = ("jsonl", "json")


def choose_format(output: str, *, name: str | None, json: bool, sets: bool = False) -> Format:
    """Return the format of an output: the given one, or that of its ending.

    Args:
        output: name of the output as given
        name: name of a format, or None
        json: whether JSON was asked for: JSON Lines unless the output ends in ``.json``
        sets: whether it holds prediction sets

    Raises:
        InputError: there is no such format, or it holds no sets

    """
    chosen = _format_of(output, name=name, json=json)
    if not sets:
        return chosen
    if chosen.name not in WITH_SETS:
        raise InputError(f"the format {chosen.name} holds no sets; leave out --set-size or give --format csv or jsonl")
    return WITH_SETS[chosen.name]


def _format_of(output: str, *, name: str | None, json: bool) -> Format:
    if name is not None:
        if name not in FORMATS:
            raise InputError(f"--format is {name!r}; expected one of {', '.join(FORMATS)}{suggestion(name, FORMATS)}")
        return FORMATS[name]
    known = [FORMATS[each] for each in JSON_FORMATS] if json else list(FORMATS.values())
    for known_format in sorted(known, key=lambda known_format: -len(known_format.ending)):
        if output.lower().endswith(known_format.ending.lower()):
            return known_format
    return known[0]


@dataclass(frozen=True, slots=True)
class Targets:
    """Where predictions are written, checked.

    Args:
        format: format of the files
        name: printable name of the file, or of the folder
        table: file of the rows of all recordings; None if each recording has its own
        documents: path of a recording as text -> its file

    """

    format: Format
    name: str
    table: Output | None
    documents: Mapping[str, Output]

    @property
    def files(self) -> list[Output]:
        """All files to write."""
        return [*self.documents.values(), *([] if self.table is None else [self.table])]

    def writer(self, emotions: Sequence[str]) -> Writer:
        """Return the writer of predictions of these emotions, in class order."""
        if self.table is not None:
            return TableWriter(self.table, self.format, emotions)
        return DocumentWriter(self.documents, lambda rows: self.format.rows(rows, emotions, True))


def choose_targets(
    output: str, *, name: str | None, json: bool, sets: bool, recordings: Sequence[Recording]
) -> Targets:
    """Return where predictions are written.

    Args:
        output: name of the output as given
        name: name of a format, with which any ending fits; None for the format of the ending
        json: whether only the formats of JSON fit
        sets: whether prediction sets are written
        recordings: all recordings

    Raises:
        InputError: there is no such format, or the output cannot be written

    """
    chosen = choose_format(output, name=name, json=json, sets=sets)
    if chosen.document:
        documents, printed = document_outputs(
            output, chosen.ending, recordings=recordings, option=f"--format {chosen.name}"
        )
        return Targets(chosen, printed, None, documents)
    table = _check_table(output, chosen, name=name, json=json)
    return Targets(chosen, table.name, table, {})


def check_before_search(output: str, *, name: str | None, json: bool, sets: bool) -> None:
    """Check an output of one file for all recordings, which needs no recordings.

    Args:
        output: as in :func:`choose_targets`
        name: likewise
        json: likewise
        sets: likewise

    Raises:
        InputError: an error of :func:`choose_targets`

    """
    chosen = choose_format(output, name=name, json=json, sets=sets)
    if not chosen.document:
        _check_table(output, chosen, name=name, json=json)


def _check_table(output: str, chosen: Format, *, name: str | None, json: bool) -> Output:
    endings = [_suffix(FORMATS[each].ending) for each in (JSON_FORMATS if json else FORMATS)]
    if name is not None:
        endings = [Path(output).suffix.lower() or _suffix(chosen.ending)]
    return check_output(output, formats=tuple(dict.fromkeys(endings)), default=chosen.ending)


def _suffix(ending: str) -> str:
    return f".{ending.rpartition('.')[2].lower()}"


def document_outputs(
    output: str, ending: str, *, recordings: Sequence[Recording], option: str
) -> tuple[dict[str, Output], str]:
    """Return the output of the document of each recording, by its path as text; and the printable name of all.

    One recording is written to the output itself, unless that is a folder. Several are written to a folder.

    Args:
        output: name of the output as given
        ending: ending of the documents
        recordings: all recordings
        option: the option that chooses the format, for messages

    Raises:
        InputError: an output cannot be written

    """
    folder = Path(expand_user(output))
    to_file = len(recordings) == 1 and not output.endswith("/") and not folder.is_dir()
    if to_file:
        suffix = Path(output).suffix.lower() or _suffix(ending)
        target = check_output(output, formats=(suffix,), default=ending)
        return {valid_text(recordings[0].path): target}, target.name
    if output != STANDARD_OUTPUT and output.lower().endswith(ending.lower()) and not folder.is_dir():
        raise InputError(
            f"{printable(output)} holds one recording, and there are {len(recordings)}; give a folder, and {option}"
        )
    folder = check_folder(output)
    names = names_of_files(recordings, ending)
    return {
        valid_text(path): check_path(folder / name, formats=(_suffix(ending),), default=ending) for path, name in names
    }, printable(folder)


def choose_timelines(target: str, *, recordings: Sequence[Recording]) -> dict[str, dict[str, Output]]:
    """Return where timelines are written: ending -> path of a recording as text -> its file.

    Args:
        target: a file that ends in ``.png`` or ``.html`` for one recording, or a folder that gets both for each
        recordings: all recordings

    Raises:
        InputError: a file cannot be written

    """
    endings = [ending for ending in TIMELINES if target.lower().endswith(ending)]
    output = target if endings or target in ("", STANDARD_OUTPUT) else f"{target}/"
    return {
        ending: document_outputs(output, ending, recordings=recordings, option="leave out its ending")[0]
        for ending in endings or TIMELINES
    }


def timeline_writers(
    files: Mapping[str, Mapping[str, Output]], *, recordings: Sequence[Recording], emotions: Sequence[str]
) -> list[Writer]:
    """Return the writers of timelines.

    Args:
        files: the result of :func:`choose_timelines`
        recordings: all recordings
        emotions: all emotions, in class order

    """
    from ser_lightning.predict.timeline import draw_timeline  # imports matplotlib
    from ser_lightning.predict.timeline_page import make_page

    paths = {valid_text(recording.path): recording.path for recording in recordings}

    def picture(rows: Sequence[SegmentPrediction]) -> bytes:
        return draw_timeline(rows, partial(open_sound, paths[rows[0].path]), emotions)

    def page(rows: Sequence[SegmentPrediction]) -> str:
        return make_page(rows, partial(open_sound, paths[rows[0].path]), emotions)

    makers: dict[str, Callable[[Sequence[SegmentPrediction]], str | bytes]] = {PNG: picture, HTML: page}
    return [DocumentWriter(outputs, makers[ending]) for ending, outputs in files.items()]
