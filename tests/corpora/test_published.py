"""Published corpora: the grammar of each on dummy files, the scan of a folder on RAVDESS, and the real corpora."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path, PurePath

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ser_lightning.corpora import published
from ser_lightning.corpora.definitions import DEFINITIONS, listed
from ser_lightning.corpora.published import PublishedCorpus
from ser_lightning.corpora.utterance import Problem, ProblemsError, Scan
from ser_lightning.errors import InputError, printable
from ser_lightning.labels import EMOTIONS, RAVDESS

SEVEN = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def corpus(name: str, root: Path | str | None, **changes) -> PublishedCorpus:
    values = {"on_problem": "error", "follow_links": False, "download": False, "downmix": "mean", "merge": None}
    return PublishedCorpus(name=name, root=root, **(values | changes))


def skip(name: str, root: Path, **changes) -> Scan:
    return corpus(name, root, on_problem="skip", **changes).scan()


def refusal(name: str, root: Path | str | None, **changes) -> str:
    with pytest.raises(InputError) as caught:
        corpus(name, root, **changes).scan()
    message = str(caught.value)
    assert message.isprintable()  # one line
    return message


def problems(scan: Scan) -> dict[str, str]:
    return {problem.path: problem.reason for problem in scan.problems if problem.reason != "missing"}


def write(path: Path, content: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.fsencode(path.stem if content is None else content))
    return path


# ---------------------------------------------------------------------- the published recordings
# Written out independently of the code, so that the tests detect errors in it.


def ravdess_files() -> list[str]:
    return [
        f"Actor_{actor:02}/03-01-{emotion:02}-{level:02}-{statement:02}-{take:02}-{actor:02}.wav"
        for actor, emotion, level, statement, take in product(range(1, 25), range(1, 9), (1, 2), (1, 2), (1, 2))
        if (emotion, level) != (1, 2)
    ]


def crema_d_files() -> list[str]:
    statements = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
    codes = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
    files = [
        f"AudioWAV/{actor}_{statement}_{code}_{level}.wav"
        for actor, statement, code in product(range(1001, 1092), statements, codes)
        for level in (("LO", "MD", "HI") if statement == "IEO" and code != "NEU" else ("XX",))
    ]
    never_made = ("1008_WSI_", "1009_MTI_", "1019_ITH_", "1002_TIE_NEU_XX", "1076_ITS_NEU_XX")
    return [file for file in files if not any(word in file for word in never_made)]


def tess_files() -> list[str]:
    folders = {
        **{"OAF_angry": "angry", "OAF_disgust": "disgust", "OAF_Fear": "fear", "OAF_happy": "happy"},
        **{"OAF_neutral": "neutral", "OAF_Pleasant_surprise": "ps", "OAF_Sad": "sad"},
        **{"YAF_angry": "angry", "YAF_disgust": "disgust", "YAF_fear": "fear", "YAF_happy": "happy"},
        **{"YAF_neutral": "neutral", "YAF_pleasant_surprised": "ps", "YAF_sad": "sad"},
    }
    words = listed.listed("tess_words")
    files = [f"{folder}/{folder[:3]}_{word}_{code}.wav" for folder, code in folders.items() for word in words]
    return [file.replace("OAF_bite_neutral", "OA_bite_neutral") for file in files]


def savee_files() -> list[str]:
    return [
        f"AudioData/{man}/{code}{number:02}.wav"
        for man in ("DC", "JE", "JK", "KL")
        for code, count in (("a", 15), ("d", 15), ("f", 15), ("h", 15), ("n", 30), ("sa", 15), ("su", 15))
        for number in range(1, count + 1)
    ]


def emovo_files() -> list[str]:
    statements = ("b1", "b2", "b3", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5", "d1", "d2")
    codes = ("neu", "dis", "gio", "pau", "rab", "sor", "tri")
    speakers = ("f1", "f2", "f3", "m1", "m2", "m3")
    return [f"{who}/{code}-{who}-{statement}.wav" for who, code, statement in product(speakers, codes, statements)]


def emodb_files() -> list[str]:
    return [f"wav/{id_}.wav" for id_ in listed.listed("emodb")]  # its counts are compared with the published ones


FILES = {
    **{"ravdess": ravdess_files, "emodb": emodb_files, "emovo": emovo_files, "crema_d": crema_d_files},
    **{"savee": savee_files, "tess": tess_files},
}
# As published; CREMA-D without the seven excluded recordings.
EMOTIONS_OF = {
    "ravdess": {**dict.fromkeys(RAVDESS, 192), "neutral": 96},
    "emodb": {"angry": 127, "bored": 81, "disgust": 46, "fearful": 69, "happy": 71, "sad": 62, "neutral": 79},
    "emovo": dict.fromkeys(SEVEN, 84),
    "crema_d": {"angry": 1270, "disgust": 1270, "fearful": 1270, "happy": 1270, "sad": 1269, "neutral": 1086},
    "savee": {**dict.fromkeys(SEVEN, 60), "neutral": 120},
    "tess": dict.fromkeys(SEVEN, 400),
}
SPEAKERS_OF = {
    "ravdess": dict.fromkeys((f"{n:02}" for n in range(1, 25)), 60),
    "emodb": {
        **{"03": 49, "08": 58, "09": 43, "10": 38, "11": 55},
        **{"12": 35, "13": 61, "14": 69, "15": 56, "16": 71},
    },
    "emovo": dict.fromkeys(("f1", "f2", "f3", "m1", "m2", "m3"), 98),
    "savee": dict.fromkeys(("DC", "JE", "JK", "KL"), 120),
    "tess": dict.fromkeys(("OAF", "YAF"), 1400),
}
MEN_OF = {"ravdess": 12, "emodb": 5, "emovo": 3, "crema_d": 48, "savee": 4, "tess": 0}
INTENSITIES_OF = {
    "ravdess": {"normal": 768, "strong": 672},
    "crema_d": {None: 6070, "low": 455, "medium": 455, "high": 455},
}


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def root(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            for file in FILES[name]():
                write(made[name] / file, file)
            write(made[name] / "erkennung.txt")
        return made[name]

    return root


@pytest.fixture
def part(tmp_path: Path) -> Callable[[str, int], Path]:
    """Return a function that writes evenly spaced files of a corpus."""

    def make(name: str, count: int) -> Path:
        files = FILES[name]()
        for file in files[:: len(files) // count]:
            write(tmp_path / file, file)
        return tmp_path

    return make


@pytest.mark.parametrize("name", FILES)
def test_complete_corpus_matches_published_counts(complete, name: str) -> None:
    scan = corpus(name, complete(name)).scan()
    assert {Path(problem.path).stem for problem in scan.problems} == set(DEFINITIONS[name].unusable)
    assert Counter(u.emotion for u in scan.utterances) == EMOTIONS_OF[name]
    speakers = Counter(u.speaker for u in scan.utterances)
    if name == "crema_d":
        assert (len(speakers), min(speakers.values()) >= 74) == (91, True)
    else:
        assert speakers == SPEAKERS_OF[name]
    genders = Counter({u.speaker: u.gender for u in scan.utterances}.values())
    assert (genders["male"], genders["female"]) == (MEN_OF[name], len(speakers) - MEN_OF[name])
    assert {u.corpus for u in scan.utterances} == {name}
    assert Counter(u.intensity for u in scan.utterances) == INTENSITIES_OF.get(name, {None: len(scan.utterances)})
    assert [u.id for u in scan.utterances] == sorted({u.id for u in scan.utterances})
    takes = {(u.speaker, u.emotion, u.intensity, u.statement, u.take) for u in scan.utterances}
    assert len(takes) == len(scan.utterances)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions_are_consistent(name: str) -> None:
    definition = DEFINITIONS[name]
    common = tuple(word for word in EMOTIONS if word in definition.labels)
    assert corpus(name, None).emotions == definition.labels == (*common, *sorted({*definition.labels} - {*common}))
    assert all((definition.license, definition.source, definition.how_to_get))
    assert (Path(published.__file__).parents[3] / "conf" / "corpus" / "parts" / f"{name}.yaml").is_file()
    for id_ in definition.ids() if definition.ids else ():
        assert definition.parse(PurePath(f"{id_}.wav"))["id"] == id_


def test_ravdess_labels_keep_their_indices() -> None:
    assert EMOTIONS[:8] == RAVDESS == ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


@pytest.mark.parametrize(
    ("name", "file", "fields"),
    [
        ("ravdess", "03-01-08-02-02-01-23.wav", ("", "23", "male", "surprised", "strong", "02", 1)),
        ("ravdess", "03-01-06-01-01-02-12.wav", ("", "12", "female", "fearful", "normal", "01", 2)),
        ("emodb", "03a01Fa.wav", ("", "03", "male", "happy", None, "a01", 1)),
        ("emodb", "x/16b10Ld.flac", ("16b10Ld", "16", "female", "bored", None, "b10", 4)),
        ("emovo", "f1/dis-f1-b1.wav", ("dis-f1-b1", "f1", "female", "disgust", None, "b1", 1)),
        ("emovo", "EMOVO/M3/sor-m3-n5.wav", ("sor-m3-n5", "m3", "male", "surprised", None, "n5", 1)),
        ("crema_d", "1001_DFA_ANG_XX.wav", ("", "1001", "male", "angry", None, "DFA", 1)),
        ("crema_d", "1091_IEO_DIS_LO.wav", ("", "1091", "female", "disgust", "low", "IEO", 1)),
        ("crema_d", "1040_ITH_SAD_X.wav", ("1040_ITH_SAD_XX", "1040", "male", "sad", None, "ITH", 1)),
        ("savee", "DC/a01.wav", ("DC_a01", "DC", "male", "angry", None, "a01", 1)),
        ("savee", "ALL/KL_sa15.wav", ("KL_sa15", "KL", "male", "sad", None, "sa15", 1)),
        ("savee", "je/n30.wav", ("JE_n30", "JE", "male", "neutral", None, "n30", 1)),
        ("tess", "YAF_dog_ps.wav", ("", "YAF", "female", "surprised", None, "dog", 1)),
        ("tess", "OA_bite_neutral.wav", ("OAF_bite_neutral", "OAF", "female", "neutral", None, "bite", 1)),
    ],
)
def test_parse_reads_all_fields(name: str, file: str, fields: tuple) -> None:
    found = DEFINITIONS[name].parse(PurePath(file))
    names = ("id", "speaker", "gender", "emotion", "intensity", "statement", "take")
    assert tuple(found.get(field) for field in names) == (fields[0] or PurePath(file).stem, *fields[1:])


INVALID = [
    ("ravdess", "talk.wav", "not a file name of RAVDESS: expected one such as 03-01-06"),
    ("ravdess", "a\nb.wav", "not a file name of RAVDESS"),
    ("ravdess", os.fsdecode(b"\xff.wav"), "not a file name of RAVDESS"),
    ("ravdess", "03-01-06-01-02-01.wav", "not a file name of RAVDESS"),
    ("ravdess", "03-01-06-01-02-01-\u0661\u0662.wav", "not a file name of RAVDESS"),  # Arabic-Indic 12
    ("ravdess", "03-01-09-01-01-01-01.wav", "wrong emotion: got 09"),
    ("ravdess", "03-01-01-01-01-01-25.wav", "wrong speaker: got 25"),
    ("ravdess", "03-02-01-01-01-01-01.wav", "wrong vocal_channel: got 02, expected 01"),
    ("ravdess", "01-01-01-01-01-01-01.wav", "wrong modality: got 01, expected 03"),
    ("ravdess", "03-01-01-02-01-01-01.wav", "not one of the 1440 published recordings"),
    ("ravdess", "Actor_13/03-01-06-02-01-02-12.wav", "folder of another speaker: Actor_13 contains a recording of 12"),
    ("emodb", "03a01F.wav", "not a file name of EmoDB"),
    ("emodb", "04a01Fa.wav", "wrong speaker: got 04"),
    ("emodb", "03a03Fa.wav", "wrong statement: got a03"),
    ("emodb", "03a01Xa.wav", "wrong emotion: got X, expected one of N, F"),
    ("emovo", "dis-f1.wav", "not a file name of EMOVO"),
    ("emovo", "feh-f1-b1.wav", "wrong emotion: got feh, expected one of neu, "),
    ("emovo", "dis-f1-b4.wav", "wrong statement: got b4"),
    ("emovo", "m1/dis-f1-b1.wav", "folder of another speaker: m1 contains a recording of f1"),
    ("crema_d", "1041_ITH_SAD_X.wav", "not a file name of CREMA-D"),
    ("crema_d", "1092_DFA_ANG_XX.wav", "wrong speaker: got 1092, expected one of 1001, 1002, ..., 1091"),
    ("crema_d", "1001_DFA_SUR_XX.wav", "wrong emotion: got SUR"),
    ("crema_d", "1001_IEO_ANG_XX.wav", "not one of the 7442 published recordings"),
    ("crema_d", "1002_TIE_NEU_XX.wav", "not one of the 7442 published recordings"),
    ("savee", "DC_a1.wav", "not a file name of SAVEE"),
    ("savee", "a01.wav", "wrong speaker: neither the file name nor a folder gives it"),
    ("savee", "DC_a16.wav", "not one of the 480 published recordings"),
    ("savee", "JE/DC_a01.wav", "folder of another speaker: JE contains a recording of DC"),
    ("tess", "OA_back_neutral.wav", "wrong speaker: got OA"),
    ("tess", "OAF_cat_angry.wav", "wrong statement: got cat"),
    ("tess", "YAF_sad/OAF_back_sad.wav", "folder of another speaker: YAF_sad contains a recording of OAF"),
    ("tess", "OAF_Sad/OAF_back_ps.wav", "folder of another emotion: OAF_Sad contains a recording of ps"),
]


@pytest.mark.parametrize(("name", "file", "reason"), INVALID)
def test_invalid_file_is_reported_and_skipped(part, name: str, file: str, reason: str) -> None:
    root = part(name, 20)
    before = skip(name, root)
    write(root / file, "another sound")
    assert f"{printable(file)}: {reason}" in refusal(name, root)
    after = skip(name, root)
    assert problems(after)[printable(file)].startswith(reason)
    assert after.utterances == before.utterances


IDS = {PurePath(file).stem for file in ravdess_files()}
CODE = st.sampled_from(("00", "01", "02", "03", "08", "09", "24", "25", "1", "\u0661\u0662", "02\n"))


@given(st.text() | st.lists(CODE, min_size=6, max_size=8).map("-".join) | st.sampled_from(sorted(IDS)))
def test_parse_accepts_only_valid_names(text: str) -> None:
    definition = DEFINITIONS["ravdess"]
    try:
        found = definition.parse(PurePath(text))
    except InputError:
        assert text not in IDS
    else:
        assert found["speaker"] == PurePath(text).stem[-2:]
        assert (found["id"] in IDS) == ((found["emotion"], found["intensity"]) != ("neutral", "strong"))


@pytest.mark.parametrize("name", FILES)
def test_missing_duplicate_and_mislabeled_files_are_reported(part, name: str) -> None:
    root = part(name, 20)
    scan = skip(name, root)
    missing = [problem for problem in scan.problems if problem.reason == "missing"]
    assert len(missing) == len(FILES[name]()) - len(scan.utterances) - len(DEFINITIONS[name].unusable)
    assert f"{len(missing)} x missing" in refusal(name, root)

    one, other = (utterance.path for utterance in scan.utterances[:2])
    write(root / "again" / one.parent.name / one.name, one.read_text())  # a copy
    other.write_text(scan.utterances[2].path.read_text())  # the sound of another recording
    changed = skip(name, root)
    reasons = list(problems(changed).values())
    assert sum("duplicate of" in reason for reason in reasons) == 1
    assert sum("same content under another name" in reason for reason in reasons) == 2
    lost = {u.id for u in scan.utterances[1:3]}
    assert {u.id for u in changed.utterances} == {u.id for u in scan.utterances} - lost


@pytest.mark.parametrize("name", DEFINITIONS)
def test_missing_corpus_error_explains_how_to_get_it(tmp_path, name: str) -> None:
    write(tmp_path / "file.txt")
    write(tmp_path / "hidden" / "._x.wav")
    for root, fault in (
        (None, "got none"),
        ("", "got none"),  # an empty environment variable
        (tmp_path / "hidden", "contains no .wav"),
        (tmp_path / "absent", "no such folder"),
        (tmp_path / "file.txt", "not a folder"),
        (tmp_path / ("x" * 300), "cannot be read"),
    ):
        message = refusal(name, root, on_problem="skip")
        assert fault in message
        assert all(way in message for way in (f"{name.upper()}_ROOT", "corpus=synthetic", DEFINITIONS[name].how_to_get))


def test_unknown_corpus_and_home_folder() -> None:
    with pytest.raises(InputError, match=r"corpus\.name is 'emdob'.*'emodb'"):
        corpus("emdob", None)
    assert corpus("emodb", "~/x").root == Path.home() / "x"


def test_merge_applies_to_labels_and_utterances(part) -> None:
    root = part("emodb", 60)
    plain, merge = skip("emodb", root), {"bored": "neutral", "sad": "calm"}
    assert corpus("emodb", root, merge=merge).emotions == ("neutral", "calm", "happy", "angry", "fearful", "disgust")
    for one, other in zip(plain.utterances, skip("emodb", root, merge=merge).utterances, strict=True):
        assert (other.id, other.emotion) == (one.id, merge.get(one.emotion, one.emotion))
    assert {"bored", "sad"} <= {u.emotion for u in plain.utterances}


@pytest.mark.parametrize(
    ("merge", "message"),
    [
        ({}, r"corpus\.merge is \{\}"),
        ("bored", r"corpus\.merge is 'bored'"),
        ({"hapy": "neutral"}, r"names 'hapy'; .*'happy'"),
        ({"sad": "gloomy"}, r"sad by 'gloomy'; expected one of neutral, calm, happy, angry"),
        ({"sad": "sad"}, r"sad by 'sad'"),
        ({"sad": "angry", "angry": "happy"}, r"sad by 'angry'"),
    ],
)
def test_invalid_merge_raises_input_error(merge, message: str) -> None:
    with pytest.raises(InputError, match=message):
        corpus("emodb", None, merge=merge)


@pytest.mark.parametrize("on_problem", ["error", "skip"])
def test_emodb_with_truncated_recordings_is_rejected(tmp_path, monkeypatch, on_problem: str) -> None:
    files = emodb_files()[:4]
    only_these = replace(DEFINITIONS["emodb"], ids=lambda: {Path(file).stem for file in files})
    monkeypatch.setitem(DEFINITIONS, "emodb", only_these)
    for number, file in enumerate(files):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / file, np.sin(np.arange(32000) * (number + 1) / 100), 16000)
    assert refusal("emodb", tmp_path, on_problem=on_problem).startswith(
        f"{tmp_path}: all 4 recordings last exactly 2 s"
    )
    soundfile.write(tmp_path / files[3], np.sin(np.arange(33000) / 100), 16000)
    assert len(corpus("emodb", tmp_path, on_problem=on_problem).scan().utterances) == 4


def test_git_lfs_pointer_is_reported_once(part) -> None:
    root = part("crema_d", 20)
    path = next(root.rglob("*.wav"))
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 72862\n")
    scan = skip("crema_d", root)
    assert problems(scan)[path.relative_to(root).as_posix()].startswith("a pointer of git-lfs")
    assert path.stem not in {problem.path for problem in scan.problems}


def test_savee_layouts_give_the_same_utterances(complete, tmp_path) -> None:
    deep = corpus("savee", complete("savee")).scan()
    for utterance in deep.utterances:
        write(tmp_path / "ALL" / f"{utterance.id}.wav", utterance.path.read_text())
    flat = corpus("savee", tmp_path).scan()
    assert [(u.id, u.digest) for u in flat.utterances] == [(u.id, u.digest) for u in deep.utterances]


# ---------------------------------------------------------------------- the scan of a folder, on five files of RAVDESS

FIRST = "03-01-01-01-01-01-01"
SECOND = "03-01-06-02-01-02-12"
PAIR = ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07")
SMALL = sorted((FIRST, SECOND, *PAIR, "03-01-02-01-01-01-13"))
PLACE = f"Actor_12/{SECOND}.wav"


def build(root: Path, stems: Iterable[str]) -> Path:
    for stem in stems:
        write(root / f"Actor_{stem[-2:]}" / f"{stem}.wav")
    return root


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a complete corpus of five recordings."""
    monkeypatch.setitem(DEFINITIONS, "ravdess", replace(DEFINITIONS["ravdess"], ids=lambda: set(SMALL)))
    return build(tmp_path / "small", SMALL)


def test_any_folder_layout_is_supported(small: Path, tmp_path: Path) -> None:
    for number, stem in enumerate(SMALL):
        folder = tmp_path / "any" / ("", f"deep/er/ACTOR_{stem[-2:]}", "mixed")[number // 2]
        write(folder / f"{stem}{('.wav', '.WAV', '.Flac')[number % 3]}")
    assert [utterance.id for utterance in corpus("ravdess", tmp_path / "any").scan().utterances] == SMALL


def test_other_and_hidden_files_are_ignored(small: Path) -> None:
    for name in ("README.txt", f"Actor_12/._{SECOND}.wav", ".Trash/odd.wav", f"Actor_12/{SECOND}.wav.bak"):
        write(small / name)
    (small / "again").symlink_to(small / "Actor_12")  # a link to a folder that is searched anyway
    assert len(corpus("ravdess", small).scan().utterances) == len(SMALL)


def test_links_inside_the_root_are_followed(small: Path, tmp_path: Path) -> None:
    (small / ".annex").mkdir()
    (small / PLACE).rename(small / ".annex" / "key")
    (small / PLACE).symlink_to(small / ".annex" / "key")
    (tmp_path / "link").symlink_to(small)
    assert corpus("ravdess", tmp_path / "link").scan().problems == ()


def test_links_out_of_the_root_are_followed_on_request(small: Path, tmp_path: Path) -> None:
    (small / PLACE).rename(tmp_path / "object")  # as git-annex, DVC and the hub cache do
    (small / PLACE).symlink_to(tmp_path / "object")
    (small / "Actor_07").rename(tmp_path / "elsewhere")
    (small / "Actor_07").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "cycle").symlink_to(tmp_path / "elsewhere")
    message = refusal("ravdess", small)
    assert "corpus.follow_links=true" in message
    assert "cp -rL" in message
    scan = corpus("ravdess", small, follow_links=True).scan()
    assert [utterance.id for utterance in scan.utterances] == SMALL


def test_published_duplicate_pair_is_kept(small: Path) -> None:
    for stem in PAIR:
        write(small / "Actor_07" / f"{stem}.wav", "the same")
    pair = [u.digest for u in corpus("ravdess", small).scan().utterances if u.id in PAIR]
    assert (len(pair), len(set(pair))) == (2, 1)


def test_corpus_without_usable_recordings_raises_input_error(tmp_path: Path) -> None:
    write(tmp_path / "song.wav")
    message = refusal("ravdess", tmp_path, on_problem="skip")
    assert "no usable recording remains" in message
    assert "1440 x missing (03-01-01-01-01-01-01, " in message


def link_out(path: Path) -> None:
    path.symlink_to(write(path.parent.parent / "outside" / "a.wav"))


def hidden_folder_link(root: Path) -> None:
    write(root / ".store" / "a.wav")
    (root / "linked").symlink_to(root / ".store")


EXTRA = {
    "copy": (lambda root: write(root / f"old/{SECOND}.wav"), f"old/{SECOND}.wav", f"duplicate of {PLACE}"),
    "folder": (lambda root: write(root / f"x.wav/{SECOND}.wav"), "x.wav", "a folder with the name of an audio file"),
    "two formats": (
        lambda root: write(root / f"{SECOND}.flac", "other bytes"),  # and closer to the root
        f"{SECOND}.flac",
        f"same recording in two formats: {PLACE} is kept",
    ),
    "fifo": (lambda root: os.mkfifo(root / "pipe.wav"), "pipe.wav", "not a regular file"),
    "link out": (lambda root: link_out(root / "a.wav"), "a.wav", "a link out of the folder: to "),
    "folder link out": (lambda root: (root / "more").symlink_to("/usr"), "more", "link to a folder that is not"),
    "folder link to hidden": (hidden_folder_link, "linked", "link to a folder that is not searched: "),
    "dangling": (lambda root: (root / "a.wav").symlink_to("nowhere"), "a.wav", "a link to nothing"),
    "loop": (lambda root: (root / "a.wav").symlink_to("a.wav"), "a.wav", "a link to nothing"),
    "empty": (lambda root: write(root / "a.wav", ""), "a.wav", "empty file"),
}


@pytest.mark.parametrize("case", EXTRA)
def test_additional_bad_file_is_reported_and_skipped(small: Path, case: str) -> None:
    make, path, reason = EXTRA[case]
    make(small)
    message = refusal("ravdess", small)
    assert message.startswith(f"{small}: 1 problem: {path}: {reason}")
    assert "corpus.on_problem=skip" in message
    scan = skip("ravdess", small)
    assert [utterance.id for utterance in scan.utterances] == SMALL
    assert next(u.path for u in scan.utterances if u.id == SECOND) == small / PLACE
    [problem] = scan.problems
    assert problem.path == path
    assert problem.reason.startswith(reason)


def pair_and_a_third(root: Path) -> None:
    for stem in PAIR:
        write(root / "Actor_07" / f"{stem}.wav", SECOND)


COST: dict[str, tuple[Callable[[Path], object], list[tuple[str, str]], set[str]]] = {
    "same id, other content": (
        lambda root: write(root / "b" / f"{SECOND}.wav", "other bytes"),
        [
            (PLACE, f"same id, different content: b/{SECOND}.wav"),
            (f"b/{SECOND}.wav", f"same id, different content: {PLACE}"),
        ],
        {SECOND},
    ),
    "same content, other id": (
        lambda root: write(root / PLACE, FIRST),
        [
            (f"Actor_01/{FIRST}.wav", f"same content under another name: {PLACE}"),
            (PLACE, f"same content under another name: Actor_01/{FIRST}.wav"),
        ],
        {SECOND, FIRST},
    ),
    "the published pair and a third": (
        pair_and_a_third,
        [
            (f"Actor_07/{PAIR[0]}.wav", f"same content under another name: Actor_07/{PAIR[1]}.wav"),
            (f"Actor_07/{PAIR[1]}.wav", f"same content under another name: {PLACE}"),
            (PLACE, f"same content under another name: Actor_07/{PAIR[0]}.wav"),
        ],
        {SECOND, *PAIR},
    ),
    "empty": (lambda root: write(root / PLACE, ""), [(PLACE, "empty file")], {SECOND}),
    "missing": (lambda root: (root / PLACE).unlink(), [(SECOND, "missing")], {SECOND}),
}


@pytest.mark.parametrize("case", COST)
def test_unusable_recordings_are_reported_and_excluded(small: Path, case: str) -> None:
    change, expected, lost = COST[case]
    change(small)
    with pytest.raises(ProblemsError) as caught:
        corpus("ravdess", small).scan()
    assert [(problem.path, problem.reason) for problem in caught.value.problems] == expected
    scan = skip("ravdess", small)
    assert [(problem.path, problem.reason) for problem in scan.problems] == expected
    assert {utterance.id for utterance in scan.utterances} == set(SMALL) - lost


def test_problems_are_grouped_by_kind(small: Path) -> None:
    write(small / "one.wav")
    write(small / "two.wav")
    (small / PLACE).unlink()
    assert refusal("ravdess", small).startswith(
        f"{small}: 3 problems: 2 x not a file name of RAVDESS (one.wav, two.wav), the first: expected one such as"
        f" 03-01-06-01-02-01-12; {SECOND}: missing; "
    )


def test_unreadable_files_and_folders_are_reported(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Mocked, because file permissions do not apply to the root user.
    scandir, sha256 = os.scandir, published.sha256

    def denied_folder(path: str) -> object:
        if Path(path).name == "Actor_12":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    def denied_file(path: Path) -> str:
        if path.stem == FIRST:
            raise PermissionError(13, "Permission denied")
        return sha256(path)

    monkeypatch.setattr(os, "scandir", denied_folder)
    monkeypatch.setattr(published, "sha256", denied_file)
    assert problems(skip("ravdess", small)) == {
        "Actor_12": "unreadable folder: Permission denied",
        f"Actor_01/{FIRST}.wav": "unreadable file: Permission denied",
    }


def test_file_removed_during_scan_is_reported(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = os.walk

    def walk_and_delete(*args: object, **kwargs: object) -> Iterable[tuple[str, list[str], list[str]]]:
        entries = list(walk(*args, **kwargs))  # type: ignore[call-overload]
        (small / PLACE).unlink(missing_ok=True)
        return entries

    monkeypatch.setattr(os, "walk", walk_and_delete)
    assert problems(skip("ravdess", small)) == {PLACE: "no such file"}


def test_doubled_archive_is_reported_once(small: Path) -> None:
    build(small / "copy", SMALL)
    scan = skip("ravdess", small)
    assert scan.problems == (
        Problem(
            path="copy",
            reason=(
                "5 of 10 files are byte-identical copies under copy (the Kaggle archive contains every recording twice)"
            ),
        ),
    )
    assert all(utterance.path.parent.parent == small for utterance in scan.utterances)
    write(small / "copy" / PLACE, "other bytes")  # not a mere copy any more
    assert sum(reason.startswith("duplicate of Actor_") for reason in problems(skip("ravdess", small)).values()) == 4


def test_recordings_found_only_in_the_copy_are_kept(small: Path) -> None:
    build(small / "copy", SMALL)
    (small / PLACE).unlink()
    scan = skip("ravdess", small)
    assert next(u.path for u in scan.utterances if u.id == SECOND) == small / "copy" / PLACE
    [problem] = scan.problems
    assert problem.reason.startswith("4 of 9 files are byte-identical copies under copy ")


@given(st.text())
def test_shown_is_always_one_printable_line(text: str) -> None:
    assert printable(text).isprintable()
    assert bool(printable(text)) == bool(text)
    assert printable(text).encode().decode() == printable(text)  # no lone surrogate


# ---------------------------------------------------------------------- real


@pytest.mark.real
@pytest.mark.parametrize(("name", "contents"), [("ravdess", 1439), ("emodb", 535), ("emovo", 588)])
def test_real_corpus_has_no_problems(request: pytest.FixtureRequest, name: str, contents: int) -> None:
    scan = corpus(name, request.getfixturevalue(f"{name}_root")).scan()
    assert scan.problems == ()
    assert Counter(u.emotion for u in scan.utterances) == EMOTIONS_OF[name]
    assert Counter(u.speaker for u in scan.utterances) == SPEAKERS_OF[name]
    assert len({u.digest for u in scan.utterances}) == contents  # RAVDESS has the published pair
