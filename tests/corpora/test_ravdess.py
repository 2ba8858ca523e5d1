import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_lightning import labels as emotion_labels
from ser_lightning.corpora import ravdess, scanning
from ser_lightning.corpora.ravdess import Ravdess, RavdessName, parse_stem
from ser_lightning.corpora.utterance import Problem, Scan
from ser_lightning.errors import InputError, printable

# Written out independently of the code, so that the tests detect errors in it.
STEMS = [
    f"03-01-{emotion:02}-{intensity:02}-{statement:02}-{repetition:02}-{actor:02}"
    for actor, emotion, intensity, statement, repetition in product(range(1, 25), range(1, 9), (1, 2), (1, 2), (1, 2))
    if (emotion, intensity) != (1, 2)
]
FIRST = "03-01-01-01-01-01-01"
VICTIM = "03-01-06-02-01-02-12"
PAIR = ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07")
SMALL = sorted((FIRST, VICTIM, *PAIR, "03-01-02-01-01-01-13"))
HOME = f"Actor_12/{VICTIM}.wav"


def write(path: Path, content: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.fsencode(path.stem if content is None else content))
    return path


def build(root: Path, stems: Iterable[str] = STEMS, *, suffix: str = ".wav") -> Path:
    for stem in stems:
        write(root / f"Actor_{stem[-2:]}" / f"{stem}{suffix}")
    return root


def corpus(root: Path | str | None, on_problem: str = "refuse") -> Ravdess:
    return Ravdess(root=root, on_problem=on_problem, download=False, downmix="mean", merge=None)


def refusal(root: Path | str | None, on_problem: str = "refuse") -> str:
    with pytest.raises(InputError) as caught:
        corpus(root, on_problem).scan()
    message = str(caught.value)
    assert message.isprintable()  # one line
    return message


def skip(root: Path) -> Scan:
    return corpus(root, "skip").scan()


def present(scan: Scan) -> list[tuple[str, str]]:
    return [(problem.path, problem.reason) for problem in scan.problems if problem.reason != "missing"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a complete corpus of five clips, because most error cases do not need 1440 files."""
    monkeypatch.setattr(ravdess, "_design", lambda: set(SMALL))
    return build(tmp_path / "small", SMALL)


# ---------------------------------------------------------------------- names


def test_parse_stem_reads_every_field() -> None:
    assert parse_stem("03-01-08-02-02-01-23") == RavdessName(
        modality="03",
        channel="01",
        emotion="surprised",
        intensity="strong",
        statement="02",
        repetition=1,
        actor=23,
    )


@given(st.sampled_from(("01", "02", "03")), st.sampled_from(("01", "02")), st.sampled_from(STEMS))
def test_parse_stem_round_trip(modality: str, channel: str, stem: str) -> None:
    stem = f"{modality}-{channel}{stem[5:]}"
    name = parse_stem(stem)
    codes = (
        name.modality,
        name.channel,
        f"{emotion_labels.RAVDESS.index(name.emotion) + 1:02}",
        {"normal": "01", "strong": "02"}[name.intensity],
        name.statement,
        f"{name.repetition:02}",
        f"{name.actor:02}",
    )
    assert "-".join(codes) == stem
    assert name.gender == ("female" if name.actor in range(2, 25, 2) else "male")


VALID = {f"{m}-{c}{stem[5:]}" for m in ("01", "02", "03") for c in ("01", "02") for stem in STEMS}
FIELD = st.sampled_from(("00", "01", "02", "03", "08", "09", "24", "25", "1", "\u0661\u0662", "02\n"))


@given(st.text() | st.lists(FIELD, min_size=6, max_size=8).map("-".join))
def test_parse_stem_accepts_only_valid_names(text: str) -> None:
    if text in VALID:
        assert parse_stem(text).actor == int(text[-2:])
    else:
        with pytest.raises(InputError, match=re.escape(repr(text))):
            parse_stem(text)


@pytest.mark.parametrize(
    ("stem", "message"),
    [
        ("00-01-06-01-02-01-12", "wrong modality: got 00, expected 01 to 03"),
        ("03-03-06-01-02-01-12", "wrong channel: got 03, expected 01 or 02"),
        ("03-01-09-01-02-01-12", "wrong emotion: got 09, expected 01 to 08"),
        ("03-01-00-01-02-01-12", "wrong emotion: got 00"),
        ("03-01-06-03-02-01-12", "wrong intensity: got 03, expected 01 or 02"),
        ("03-01-06-01-03-01-12", "wrong statement: got 03, expected 01 or 02"),
        ("03-01-06-01-02-00-12", "wrong repetition: got 00, expected 01 or 02"),
        ("03-01-06-01-02-01-25", "wrong actor: got 25, expected 01 to 24"),
        ("03-01-06-01-02-01-00", "wrong actor: got 00, expected 01 to 24"),
        ("03-01-01-02-02-01-12", "strong neutral: got intensity 02, expected 01"),
        ("", "not a RAVDESS name"),
        ("03-01-06-01-02-01", "not a RAVDESS name"),
        ("03-01-06-01-02-01-12-01", "not a RAVDESS name"),
        ("3-1-6-1-2-1-12", "not a RAVDESS name"),
        ("03_01_06_01_02_01_12", "not a RAVDESS name"),
        ("03-01-06-01-02-01-12\n", "not a RAVDESS name"),
        (" 03-01-06-01-02-01-12", "not a RAVDESS name"),
        ("03-01-06-01-02-01-+2", "not a RAVDESS name"),
        ("03-01-06-01-02-01-\u0661\u0662", "not a RAVDESS name"),  # Arabic-Indic 12
        ("03-01-06-01-02-01-\uff11\uff12", "not a RAVDESS name"),  # full-width 12
    ],
)
def test_parse_stem_error_states_invalid_field(stem: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"{stem!r}: {message}")):
        parse_stem(stem)


# ---------------------------------------------------------------------- constructor


def test_constructor_stores_arguments() -> None:
    made = Ravdess(root="~/speech", on_problem="skip", download=True, downmix="interleave", merge=None)
    assert (made.root, made.on_problem, made.download, made.downmix) == (
        Path.home() / "speech",
        "skip",
        True,
        "interleave",
    )
    assert (made.name, made.emotions) == ("ravdess", emotion_labels.RAVDESS)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("on_problem", "expected refuse or skip, got 'ignore'"),
        ("downmix", "mean, interleave or right, got 'ignore'"),
    ],
)
def test_unknown_choices_raise_input_error(key: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"corpus\.{key}: .*{message}"):
        values = {"root": None, "on_problem": "skip", "download": False, "downmix": "mean", "merge": None}
        Ravdess(**(values | {key: "ignore"}))


# ---------------------------------------------------------------------- valid corpora


@pytest.mark.parametrize("on_problem", ["refuse", "skip"])
def test_complete_corpus_has_no_problems(pristine: Path, on_problem: str) -> None:
    scan = corpus(pristine, on_problem).scan()
    assert scan.problems == ()
    assert [utterance.id for utterance in scan.utterances] == sorted(STEMS)
    assert Counter(utterance.emotion for utterance in scan.utterances) == {
        emotion: 96 if emotion == "neutral" else 192 for emotion in emotion_labels.RAVDESS
    }
    utterance = next(utterance for utterance in scan.utterances if utterance.id == VICTIM)
    assert utterance.path == pristine / HOME
    assert (utterance.corpus, utterance.speaker, utterance.gender) == ("ravdess", "12", "female")
    assert (utterance.emotion, utterance.intensity) == ("fearful", "strong")
    assert (utterance.statement, utterance.repetition) == ("01", 2)
    # sha256sum of the 20 bytes of the stem
    assert utterance.digest == "816a4e62d33fb79cbe590fb229dc21258f36faacdeab1b83f7938365a1b8472b"
    assert scan.utterances[0].gender == "male"


def test_any_folder_layout_is_supported(small: Path, tmp_path: Path) -> None:
    for number, stem in enumerate(SMALL):
        folder = tmp_path / "any" / ("", f"deep/er/ACTOR_{stem[-2:]}", "mixed")[number // 2]
        write(folder / f"{stem}{('.wav', '.WAV', '.Flac')[number % 3]}")
    scan = corpus(tmp_path / "any").scan()
    assert [utterance.id for utterance in scan.utterances] == SMALL


def test_other_and_hidden_files_are_ignored(small: Path) -> None:
    write(small / "README.txt")
    write(small / "Actor_12" / f"._{VICTIM}.wav")
    write(small / "__MACOSX" / f"._{FIRST}.wav")
    write(small / ".Trash" / "odd.wav")
    write(small / "Actor_12" / f"{VICTIM}.wav.bak")
    (small / "again").symlink_to(small / "Actor_12")  # a link to a folder that is searched anyway
    assert len(corpus(small).scan().utterances) == len(SMALL)


def test_linked_root_and_inner_links_are_followed(small: Path, tmp_path: Path) -> None:
    store = small / ".annex"
    store.mkdir()
    (small / HOME).rename(store / "key")
    (small / HOME).symlink_to(store / "key")
    (tmp_path / "link").symlink_to(small)
    assert corpus(tmp_path / "link").scan().problems == ()


def test_published_duplicate_pair_is_kept(small: Path) -> None:
    for stem in PAIR:
        write(small / "Actor_07" / f"{stem}.wav", "the same")
    scan = corpus(small).scan()
    digests = [utterance.digest for utterance in scan.utterances if utterance.id in PAIR]
    assert len(digests) == 2
    assert len(set(digests)) == 1


# ---------------------------------------------------------------------- missing corpus


@pytest.mark.parametrize("on_problem", ["refuse", "skip"])
@pytest.mark.parametrize(
    ("name", "what"),
    [
        (None, "got none"),
        ("absent", "no such folder"),
        ("file.txt", "not a folder"),
        ("x" * 300, "cannot be looked into"),
        ("hidden", "holds no .wav or .flac file"),
    ],
)
def test_missing_corpus_error_explains_how_to_get_it(
    tmp_path: Path, name: str | None, what: str, on_problem: str
) -> None:
    write(tmp_path / "file.txt")
    write(tmp_path / "hidden" / f"._{VICTIM}.wav")
    message = refusal(tmp_path / name if name else None, on_problem)
    assert what in message
    assert name is None or str(tmp_path / name) in message
    for way in (
        "ser-prepare corpus=ravdess corpus.download=true corpus.root=<folder>",
        "Audio_Speech_Actors_01-24.zip from Zenodo record 1188976",
        "RAVDESS_ROOT",
        "corpus=synthetic",
    ):
        assert way in message


def test_empty_root_counts_as_missing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small)
    assert "got none" in refusal("")


@pytest.mark.parametrize("on_problem", ["refuse", "skip"])
def test_corpus_without_usable_clips_raises_input_error(tmp_path: Path, on_problem: str) -> None:
    write(tmp_path / "song.wav")
    message = refusal(tmp_path, on_problem)
    assert "song.wav: not a RAVDESS name" in message
    assert "no usable recording remains" in message
    assert "1440 x missing (03-01-01-01-01-01-01, " in message


# ---------------------------------------------------------------------- additional bad files


def link_out(path: Path) -> None:
    outside = write(path.parent.parent / "outside" / "a.wav")
    path.symlink_to(outside)


def hidden_folder_link(root: Path) -> None:
    write(root / ".store" / "a.wav")
    (root / "linked").symlink_to(root / ".store")


def case(make: Callable[[Path], object], path: str, reason: str, name: str) -> object:
    return pytest.param(make, path, reason, id=name)


def file_case(name: str, path: str, reason: str, *, printed: str | None = None) -> object:
    return pytest.param(lambda root: write(root / path), printed or path, reason, id=name)


EXTRA = [
    file_case("name", "talk.wav", "not a RAVDESS name: expected seven"),
    file_case("line break", "a\nb.wav", "not a RAVDESS name: ", printed=r"a\nb.wav"),
    file_case("bytes", os.fsdecode(b"\xff.wav"), "not a RAVDESS name: ", printed=r"\udcff.wav"),
    file_case("emotion", "03-01-09-01-01-01-01.wav", "wrong emotion: got 09"),
    file_case("actor", "03-01-01-01-01-01-25.wav", "wrong actor: got 25"),
    file_case("strong neutral", "03-01-01-02-01-01-01.wav", "strong neutral: "),
    file_case("song", "03-02-01-01-01-01-01.wav", "song, not speech: channel 02"),
    file_case("video", "01-01-01-01-01-01-01.wav", "video, not audio-only: modality 01"),
    file_case("copy", f"old/{VICTIM}.wav", f"duplicate of {HOME}"),
    file_case("folder", f"x.wav/{VICTIM}.wav", "a folder with the name of an audio file", printed="x.wav"),
    case(
        lambda root: write(root / f"{VICTIM}.flac", "other bytes"),  # and closer to the root
        f"{VICTIM}.flac",
        f"same clip in two formats: {HOME} is kept",
        "two formats",
    ),
    case(lambda root: os.mkfifo(root / "pipe.wav"), "pipe.wav", "not a regular file", "fifo"),
    case(lambda root: link_out(root / "a.wav"), "a.wav", "a link out of the folder: to ", "link out"),
    case(lambda root: (root / "more").symlink_to("/usr"), "more", "link to a folder that is not", "folder out"),
    case(hidden_folder_link, "linked", "link to a folder that is not searched: ", "folder link to hidden"),
    case(lambda root: (root / "a.wav").symlink_to("nowhere"), "a.wav", "a link to nothing", "dangling"),
    case(lambda root: (root / "a.wav").symlink_to("a.wav"), "a.wav", "a link to nothing", "loop"),
    case(lambda root: write(root / "a.wav", ""), "a.wav", "empty file", "empty"),
]


@pytest.mark.parametrize(("make", "path", "reason"), EXTRA)
def test_additional_bad_file_is_reported_and_skipped(
    small: Path, make: Callable[[Path], object], path: str, reason: str
) -> None:
    make(small)

    message = refusal(small)
    assert message.startswith(f"{small}: 1 problem: {path}: {reason}")
    assert "corpus.on_problem=skip" in message

    scan = skip(small)
    assert [utterance.id for utterance in scan.utterances] == sorted(SMALL)
    assert next(u.path for u in scan.utterances if u.id == VICTIM) == small / HOME
    [problem] = scan.problems
    assert problem.path == path
    assert problem.reason.startswith(reason)


# ---------------------------------------------------------------------- problems that exclude clips


def other_content(root: Path) -> None:
    write(root / "b" / f"{VICTIM}.wav", "other bytes")


def mislabelled(root: Path) -> None:
    write(root / HOME, FIRST)  # the content of the other clip


def published_pair_and_a_third(root: Path) -> None:
    for stem in PAIR:
        write(root / "Actor_07" / f"{stem}.wav", VICTIM)


COST: dict[str, tuple[Callable[[Path], object], list[tuple[str, str]], set[str]]] = {
    "same id, other content": (
        other_content,
        [
            (HOME, f"same id, different content: b/{VICTIM}.wav"),
            (f"b/{VICTIM}.wav", f"same id, different content: {HOME}"),
        ],
        {VICTIM},
    ),
    "same content, other id": (
        mislabelled,
        [
            (f"Actor_01/{FIRST}.wav", f"same content under another name: {HOME}"),
            (HOME, f"same content under another name: Actor_01/{FIRST}.wav"),
        ],
        {VICTIM, FIRST},
    ),
    "the published pair and a third": (
        published_pair_and_a_third,
        [
            (
                f"Actor_07/{PAIR[0]}.wav",
                f"same content under another name: Actor_07/{PAIR[1]}.wav",
            ),
            (f"Actor_07/{PAIR[1]}.wav", f"same content under another name: {HOME}"),
            (HOME, f"same content under another name: Actor_07/{PAIR[0]}.wav"),
        ],
        {VICTIM, *PAIR},
    ),
    "wrong folder": (
        lambda root: (root / HOME).rename(root / "Actor_13" / f"{VICTIM}.wav"),
        [(f"Actor_13/{VICTIM}.wav", "folder of another actor: Actor_13 holds a clip of actor 12")],
        {VICTIM},
    ),
    "empty": (lambda root: write(root / HOME, ""), [(HOME, "empty file")], {VICTIM}),
    "missing": (lambda root: (root / HOME).unlink(), [(VICTIM, "missing")], {VICTIM}),
}


@pytest.mark.parametrize("case", COST)
def test_unusable_clips_are_reported_and_excluded(small: Path, case: str) -> None:
    spoil, problems, lost = COST[case]
    spoil(small)

    message = refusal(small)
    assert message.startswith(f"{small}: {len(problems)} problem")
    assert all(path in message for path, _ in problems)
    assert "corpus.on_problem=skip" in message

    scan = skip(small)
    assert [(problem.path, problem.reason) for problem in scan.problems] == problems
    assert {utterance.id for utterance in scan.utterances} == set(SMALL) - lost


def test_many_missing_clips_are_summarized_in_one_line(tmp_path: Path) -> None:
    full = build(tmp_path, STEMS[:60])
    shown_names = "03-01-01-01-01-01-02, 03-01-01-01-01-01-03, 03-01-01-01-01-01-04, ..."
    message = refusal(full)
    assert message.startswith(f"{full}: 1380 problems: 1380 x missing ({shown_names}); ")
    assert len(message) < len(str(full)) + 300
    assert {(problem.path, problem.reason) for problem in skip(full).problems} == {
        (stem, "missing") for stem in STEMS if not stem.endswith("-01")
    }


def test_problems_are_grouped_by_kind(small: Path) -> None:
    write(small / "one.wav")
    write(small / "two.wav")
    write(small / "03-02-01-01-01-01-01.wav")
    (small / HOME).unlink()
    assert refusal(small).startswith(
        f"{small}: 4 problems: 03-02-01-01-01-01-01.wav: song, not speech: channel 02; "
        f"2 x not a RAVDESS name (one.wav, two.wav); {VICTIM}: missing; "
    )


def test_unreadable_file_is_reported(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Mocked, because file permissions do not apply to the root user.
    sha256 = scanning.sha256

    def denied(path: Path) -> str:
        if path.stem == VICTIM:
            raise PermissionError(13, "Permission denied")
        return sha256(path)

    monkeypatch.setattr(scanning, "sha256", denied)
    assert f"{HOME}: unreadable file: Permission denied" in refusal(small)
    scan = skip(small)
    assert present(scan) == [(HOME, "unreadable file: Permission denied")]
    assert len(scan.utterances) == len(SMALL) - 1


def test_file_removed_during_scan_is_reported(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = os.walk

    def walk_and_delete(*args: object, **kwargs: object) -> Iterable[tuple[str, list[str], list[str]]]:
        entries = list(walk(*args, **kwargs))  # type: ignore[call-overload]
        (small / HOME).unlink(missing_ok=True)
        return entries

    monkeypatch.setattr(os, "walk", walk_and_delete)
    assert present(skip(small)) == [(HOME, "unreadable file")]


def test_unreadable_folder_is_reported(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def denied(path: str) -> object:
        if Path(path).name == "Actor_12":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    message = refusal(small)
    assert "Actor_12: unreadable folder: Permission denied" in message
    assert f"{VICTIM}: missing" in message
    assert present(skip(small)) == [("Actor_12", "unreadable folder: Permission denied")]


# ---------------------------------------------------------------------- duplicates


def test_doubled_kaggle_archive_is_reported_once(small: Path) -> None:
    build(small / "audio_speech_actors_01-24", SMALL)
    line = (
        "5 of 10 files are byte-identical copies under audio_speech_actors_01-24 "
        "(the Kaggle archive ships every clip twice)"
    )
    assert refusal(small).startswith(f"{small}: 1 problem: audio_speech_actors_01-24: {line}; ")
    scan = skip(small)
    assert scan.problems == (Problem(path="audio_speech_actors_01-24", reason=line),)
    assert [utterance.id for utterance in scan.utterances] == SMALL
    assert all(utterance.path.parent.parent == small for utterance in scan.utterances)


def test_copies_are_reported_individually_when_one_differs(small: Path) -> None:
    build(small / "copy", set(SMALL) - {VICTIM})
    write(small / "copy" / "Actor_12" / f"{VICTIM}.wav", "other bytes")
    problems = present(skip(small))
    assert len(problems) == 6
    assert sum(reason.startswith("duplicate of Actor_") for _, reason in problems) == 4
    assert "4 x duplicate (copy/Actor_01/" in refusal(small)


def test_scattered_copies_are_reported_individually(small: Path) -> None:
    write(small / "Actor_01" / "copy" / f"{FIRST}.wav")
    write(small / "Actor_12" / "copy" / f"{VICTIM}.wav")
    assert present(skip(small)) == [
        (f"Actor_01/copy/{FIRST}.wav", f"duplicate of Actor_01/{FIRST}.wav"),
        (f"Actor_12/copy/{VICTIM}.wav", f"duplicate of {HOME}"),
    ]


def test_clips_found_only_in_the_copy_are_kept(small: Path) -> None:
    build(small / "copy", SMALL)
    (small / HOME).unlink()
    scan = skip(small)
    assert len(scan.utterances) == len(SMALL)
    assert next(u.path for u in scan.utterances if u.id == VICTIM) == small / "copy" / HOME
    [problem] = scan.problems
    assert problem.reason.startswith("4 of 9 files are byte-identical copies under copy ")


@given(st.text())
def test_shown_is_always_one_printable_line(text: str) -> None:
    assert printable(text).isprintable()
    assert bool(printable(text)) == bool(text)
    assert printable(text).encode().decode() == printable(text)  # no lone surrogate


# ---------------------------------------------------------------------- real


@pytest.mark.real
def test_real_ravdess_has_no_problems(ravdess_root: Path) -> None:
    scan = corpus(ravdess_root).scan()
    assert [utterance.id for utterance in scan.utterances] == sorted(STEMS)
    assert len({utterance.digest for utterance in scan.utterances}) == 1439  # the published pair
