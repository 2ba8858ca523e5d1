"""Tests of the corpora other than RAVDESS on dummy files with valid names, and of EmoDB and EMOVO on real files.

Behavior common to all corpora, such as links, duplicates and unreadable files, is tested in test_ravdess.py.
"""

from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path, PurePath

import numpy as np
import pytest
import soundfile

from ser_lightning.audio import reader
from ser_lightning.audio.audio import Audio
from ser_lightning.corpora import crema_d, emodb, emovo, savee, scanning, tess
from ser_lightning.corpora.crema_d import CremaD
from ser_lightning.corpora.emodb import Emodb
from ser_lightning.corpora.emovo import Emovo
from ser_lightning.corpora.listed import listed
from ser_lightning.corpora.ravdess import Ravdess
from ser_lightning.corpora.savee import Savee
from ser_lightning.corpora.tess import Tess
from ser_lightning.corpora.utterance import Scan
from ser_lightning.errors import InputError
from ser_lightning.labels import EMOTIONS, RAVDESS

CORPORA = {"emodb": Emodb, "emovo": Emovo, "crema_d": CremaD, "savee": Savee, "tess": Tess}
MODULES = {"emodb": emodb, "emovo": emovo, "crema_d": crema_d, "savee": savee, "tess": tess}


def corpus(name: str, root: Path | str | None, **changes):
    values = {"root": root, "on_problem": "refuse", "downmix": "mean", "merge": None}
    return CORPORA[name](**(values | changes))


def ravdess(merge) -> Ravdess:
    return Ravdess(root=None, on_problem="skip", download=False, downmix="mean", merge=merge)


def refusal(name: str, root: Path | None, **changes) -> str:
    with pytest.raises(InputError) as caught:
        corpus(name, root, **changes).scan()
    message = str(caught.value)
    assert message.isprintable()  # one line
    return message


def problems(scan: Scan) -> dict[str, str]:
    return {problem.path: problem.reason for problem in scan.problems if problem.reason != "missing"}


def write(path: Path, content: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(path) if content is None else content)
    return path


# Written out independently of the code, so that the tests detect errors in it.
def crema_d_files() -> list[str]:
    sentences = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
    codes = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
    files = [
        f"AudioWAV/{actor}_{sentence}_{code}_{level}.wav"
        for actor, sentence, code in product(range(1001, 1092), sentences, codes)
        for level in (("LO", "MD", "HI") if sentence == "IEO" and code != "NEU" else ("XX",))
    ]
    lacking = ("1008_WSI_", "1009_MTI_", "1019_ITH_", "1002_TIE_NEU_XX", "1076_ITS_NEU_XX")
    return [file for file in files if not any(word in file for word in lacking)]


def tess_files() -> list[str]:
    words = sorted(tess.WORDS)
    folders = {
        **{"OAF_angry": "angry", "OAF_disgust": "disgust", "OAF_Fear": "fear", "OAF_happy": "happy"},
        **{"OAF_neutral": "neutral", "OAF_Pleasant_surprise": "ps", "OAF_Sad": "sad"},
        **{"YAF_angry": "angry", "YAF_disgust": "disgust", "YAF_fear": "fear", "YAF_happy": "happy"},
        **{"YAF_neutral": "neutral", "YAF_pleasant_surprised": "ps", "YAF_sad": "sad"},
    }
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
    sentences = ("b1", "b2", "b3", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5", "d1", "d2")
    codes = ("neu", "dis", "gio", "pau", "rab", "sor", "tri")
    speakers = ("f1", "f2", "f3", "m1", "m2", "m3")
    return [f"{who}/{code}-{who}-{sentence}.wav" for who, code, sentence in product(speakers, codes, sentences)]


def emodb_files() -> list[str]:
    return [f"wav/{id_}.wav" for id_ in sorted(emodb._design())]  # its counts are compared with the published ones


FILES = {
    **{"emodb": emodb_files, "emovo": emovo_files, "crema_d": crema_d_files, "savee": savee_files},
    **{"tess": tess_files},
}
# As published; CREMA-D without the seven excluded clips.
EMOTIONS_OF = {
    "emodb": {"angry": 127, "bored": 81, "disgust": 46, "fearful": 69, "happy": 71, "sad": 62, "neutral": 79},
    "emovo": dict.fromkeys(("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised"), 84),
    "crema_d": {"angry": 1270, "disgust": 1270, "fearful": 1270, "happy": 1270, "sad": 1269, "neutral": 1086},
    "savee": {**dict.fromkeys(("happy", "sad", "angry", "fearful", "disgust", "surprised"), 60), "neutral": 120},
    "tess": dict.fromkeys(("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised"), 400),
}
SPEAKERS_OF = {
    "emodb": {
        **{"03": 49, "08": 58, "09": 43, "10": 38, "11": 55},
        **{"12": 35, "13": 61, "14": 69, "15": 56, "16": 71},
    },
    "emovo": dict.fromkeys(("f1", "f2", "f3", "m1", "m2", "m3"), 98),
    "savee": dict.fromkeys(("DC", "JE", "JK", "KL"), 120),
    "tess": dict.fromkeys(("OAF", "YAF"), 1400),
}
MEN_OF = {"emodb": 5, "emovo": 3, "crema_d": 48, "savee": 4, "tess": 0}
INTENSITIES_OF = {"crema_d": {"unspecified": 6070, "low": 455, "medium": 455, "high": 455}}


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


@pytest.mark.parametrize("name", CORPORA)
def test_complete_corpus_matches_published_counts(complete, name: str) -> None:
    scan = corpus(name, complete(name)).scan()
    assert Counter(u.emotion for u in scan.utterances) == EMOTIONS_OF[name]
    speakers = Counter(u.speaker for u in scan.utterances)
    if name == "crema_d":
        assert len(speakers) == 91
        assert min(speakers.values()) >= 74
    else:
        assert speakers == SPEAKERS_OF[name]
        assert scan.problems == ()
    genders = {u.speaker: u.gender for u in scan.utterances}
    assert Counter(genders.values())["male"] == MEN_OF[name]
    assert Counter(genders.values())["female"] == len(speakers) - MEN_OF[name]
    assert {u.corpus for u in scan.utterances} == {name} == {CORPORA[name].name}
    total = {"unspecified": len(scan.utterances)}
    assert Counter(u.intensity for u in scan.utterances) == INTENSITIES_OF.get(name, total)
    ids = [u.id for u in scan.utterances]
    assert ids == sorted(set(ids))
    assert len({(u.speaker, u.emotion, u.intensity, u.statement, u.repetition) for u in scan.utterances}) == len(ids)


@pytest.mark.parametrize("name", CORPORA)
def test_labels_follow_order_of_common_vocabulary(name: str) -> None:
    labels = corpus(name, None).emotions
    assert set(labels) == set(EMOTIONS_OF[name])
    assert list(labels) == [word for word in EMOTIONS if word in labels]
    assert set(MODULES[name].CODES.values()) == set(labels)
    for word in labels:  # the docstring lists every label
        assert word in str(CORPORA[name].__doc__)


def test_name_lists_start_with_comment_and_are_sorted() -> None:
    files = sorted((Path(emodb.__file__).parent / "names").glob("*.txt"))
    assert [path.stem for path in files] == ["crema_d_women", "emodb", "tess_words"]
    for path in files:
        assert path.read_text().startswith("# ")
        names = listed(path.stem)
        assert names == sorted(set(names))


def test_ravdess_labels_keep_their_indices() -> None:
    assert EMOTIONS[:8] == RAVDESS
    assert RAVDESS == ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("emodb", "03a01Fa.wav", ("03a01Fa", "03", "male", "happy", "unspecified", "a01", 1)),
        ("emodb", "x/16b10Ld.flac", ("16b10Ld", "16", "female", "bored", "unspecified", "b10", 4)),
        ("emodb", "14a07Tc.wav", ("14a07Tc", "14", "female", "sad", "unspecified", "a07", 3)),
        ("emovo", "f1/dis-f1-b1.wav", ("dis-f1-b1", "f1", "female", "disgust", "unspecified", "b1", 1)),
        ("emovo", "EMOVO/M3/sor-m3-n5.wav", ("sor-m3-n5", "m3", "male", "surprised", "unspecified", "n5", 1)),
        ("emovo", "pau-m2-d2.wav", ("pau-m2-d2", "m2", "male", "fearful", "unspecified", "d2", 1)),
        ("crema_d", "1001_DFA_ANG_XX.wav", ("1001_DFA_ANG_XX", "1001", "male", "angry", "unspecified", "DFA", 1)),
        ("crema_d", "1091_IEO_DIS_LO.wav", ("1091_IEO_DIS_LO", "1091", "female", "disgust", "low", "IEO", 1)),
        ("crema_d", "1040_ITH_SAD_X.wav", ("1040_ITH_SAD_XX", "1040", "male", "sad", "unspecified", "ITH", 1)),
        ("savee", "DC/a01.wav", ("DC_a01", "DC", "male", "angry", "unspecified", "a01", 1)),
        ("savee", "ALL/KL_sa15.wav", ("KL_sa15", "KL", "male", "sad", "unspecified", "sa15", 1)),
        ("savee", "je/n30.wav", ("JE_n30", "JE", "male", "neutral", "unspecified", "n30", 1)),
        ("tess", "OAF_back_angry.wav", ("OAF_back_angry", "OAF", "female", "angry", "unspecified", "back", 1)),
        ("tess", "YAF_dog_ps.wav", ("YAF_dog_ps", "YAF", "female", "surprised", "unspecified", "dog", 1)),
        ("tess", "OA_bite_neutral.wav", ("OAF_bite_neutral", "OAF", "female", "neutral", "unspecified", "bite", 1)),
    ],
)
def test_read_name_parses_all_fields(name: str, file: str, said: tuple) -> None:
    read = MODULES[name].read_name(PurePath(file))
    fields = ("id", "speaker", "gender", "emotion", "intensity", "statement", "repetition")
    assert tuple(getattr(read, field) for field in fields) == said


FOREIGN = [
    ("emodb", "talk.wav", "not an EmoDB name: expected one such as 03a01Fa"),
    ("emodb", "03a01F.wav", "not an EmoDB name"),
    ("emodb", "04a01Fa.wav", "wrong speaker: got 04"),
    ("emodb", "03a03Fa.wav", "wrong text: got a03"),
    ("emodb", "03a01Xa.wav", "wrong emotion: got X"),
    ("emovo", "dis-f1.wav", "not an EMOVO name"),
    ("emovo", "feh-f1-b1.wav", "wrong emotion: got feh, expected one of neu, "),
    ("emovo", "dis-f4-b1.wav", "wrong speaker: got f4"),
    ("emovo", "dis-f1-b4.wav", "wrong sentence: got b4"),
    ("emovo", "m1/dis-f1-b1.wav", "folder of another speaker: m1 holds a clip of f1"),
    ("crema_d", "1001_DFA_ANG.wav", "not a CREMA-D name"),
    ("crema_d", "1041_ITH_SAD_X.wav", "not a CREMA-D name"),
    ("crema_d", "1092_DFA_ANG_XX.wav", "wrong actor: got 1092, expected 1001 to 1091"),
    ("crema_d", "1001_ABC_ANG_XX.wav", "wrong sentence: got ABC"),
    ("crema_d", "1001_DFA_SUR_XX.wav", "wrong emotion: got SUR"),
    ("crema_d", "1001_IEO_ANG_XX.wav", "wrong level: got XX, expected one of LO, MD, HI of IEO_ANG"),
    ("crema_d", "1001_IEO_NEU_HI.wav", "wrong level: got HI, expected XX of IEO_NEU"),
    ("savee", "DC_a1.wav", "not a SAVEE name"),
    ("savee", "a01.wav", "wrong speaker: neither the name nor a folder tells it"),
    ("savee", "XY_a01.wav", "wrong speaker: got XY"),
    ("savee", "DC_b01.wav", "wrong emotion: got b"),
    ("savee", "DC_a16.wav", "wrong sentence: got 16, expected 01 to 15 of a"),
    ("savee", "DC_n00.wav", "wrong sentence: got 00, expected 01 to 30 of n"),
    ("savee", "JE/DC_a01.wav", "folder of another speaker: JE holds a clip of DC"),
    ("tess", "OAF_back.wav", "not a TESS name"),
    ("tess", "OA_back_neutral.wav", "wrong speaker: got OA"),
    ("tess", "OAF_cat_angry.wav", "wrong word: got cat"),
    ("tess", "OAF_back_bored.wav", "wrong emotion: got bored"),
    ("tess", "YAF_sad/OAF_back_sad.wav", "folder of another emotion or speaker: YAF_sad holds OAF_back_sad"),
    ("tess", "OAF_Sad/OAF_back_ps.wav", "folder of another emotion or speaker: OAF_Sad holds OAF_back_ps"),
]


@pytest.mark.parametrize(("name", "file", "reason"), FOREIGN)
def test_invalid_file_is_reported_and_skipped(part, name: str, file: str, reason: str) -> None:
    root = part(name, 20)
    before = corpus(name, root, on_problem="skip").scan()
    write(root / file, "another sound")
    assert f"{file}: {reason}" in refusal(name, root)
    after = corpus(name, root, on_problem="skip").scan()
    assert problems(after)[file].startswith(reason)
    assert after.utterances == before.utterances


@pytest.mark.parametrize("name", CORPORA)
def test_missing_duplicate_and_mislabeled_files_are_reported(part, name: str) -> None:
    root = part(name, 20)
    total = len(FILES[name]())
    scan = corpus(name, root, on_problem="skip").scan()
    missing = [problem for problem in scan.problems if problem.reason == "missing"]
    unusable = len(crema_d.UNUSABLE) if name == "crema_d" else 0
    assert len(missing) == total - len(scan.utterances) - unusable
    assert f"{len(missing)} x missing" in refusal(name, root)

    one, other = (utterance.path for utterance in scan.utterances[:2])
    write(root / "again" / "deeper" / one.name, one.read_text())  # a copy
    other.write_text(scan.utterances[2].path.read_text())  # the sound of another clip
    spoilt = corpus(name, root, on_problem="skip").scan()
    reasons = list(problems(spoilt).values())
    if one.name.startswith(("a", "d", "f", "h", "n", "s")) and name == "savee":  # no folder gives the speaker
        assert sum("neither the name" in reason for reason in reasons) == 1
    else:
        assert sum("duplicate of" in reason for reason in reasons) == 1
    assert sum("same content under another name" in reason for reason in reasons) == 2
    assert {u.id for u in spoilt.utterances} == {u.id for u in scan.utterances} - {u.id for u in scan.utterances[1:3]}


@pytest.mark.parametrize("name", CORPORA)
def test_missing_corpus_error_names_root_variable(tmp_path, name: str) -> None:
    write(tmp_path / "erkennung.txt")
    for root, what in (
        (None, "expected the folder of"),
        (tmp_path, "holds no .wav"),
        (tmp_path / "x", "no such folder"),
    ):
        message = refusal(name, root)
        assert what in message
        assert f"{name.upper()}_ROOT" in message


@pytest.mark.parametrize("name", CORPORA)
def test_unknown_choices_raise_input_error(name: str) -> None:
    with pytest.raises(InputError, match=r"corpus\.on_problem: expected refuse or skip, got 'ask'"):
        corpus(name, None, on_problem="ask")
    with pytest.raises(InputError, match=r"corpus\.downmix: expected mean, interleave or right, got 'left'"):
        corpus(name, None, downmix="left")
    assert corpus(name, "~/x").root == Path.home() / "x"
    assert corpus(name, "").root is None


def test_corpus_and_reader_downmixes_agree() -> None:
    assert scanning.DOWNMIXES == reader.DOWNMIXES


# ---------------------------------------------------------------------- merging


def test_merge_applies_to_labels_and_utterances(part) -> None:
    root = part("emodb", 60)
    plain = corpus("emodb", root, on_problem="skip")
    merged = corpus("emodb", root, on_problem="skip", merge={"bored": "neutral", "sad": "calm"})
    assert merged.emotions == ("neutral", "calm", "happy", "angry", "fearful", "disgust")
    words = {"bored": "neutral", "sad": "calm"}
    for one, other in zip(plain.scan().utterances, merged.scan().utterances, strict=True):
        assert other.emotion == words.get(one.emotion, one.emotion)
        assert other.id == one.id
    assert {"bored", "sad"} <= {u.emotion for u in plain.scan().utterances}


@pytest.mark.parametrize("make", [lambda merge: corpus("emodb", None, merge=merge), ravdess])
@pytest.mark.parametrize(
    ("merge", "message"),
    [
        ({}, r"corpus\.merge is \{\}; expected labels and what they count as"),
        ("bored", r"corpus\.merge is 'bored'"),
        ({"hapy": "neutral"}, r"names 'hapy'; the corpus has neutral, .*; the nearest valid name is 'happy'"),
        ({"sad": "gloomy"}, r"counts sad as 'gloomy'; expected one of neutral, calm, happy, angry"),
        ({"sad": "sad"}, r"counts sad as 'sad'"),
        ({"sad": "angry", "angry": "happy"}, r"counts sad as 'angry'"),
    ],
)
def test_invalid_merge_raises_input_error(make, merge, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(merge)


# ---------------------------------------------------------------------- single corpora


def tone(path: Path, seconds: float, *, number: int, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * 16000)) / 16000
    waves = [0.3 * np.sin(2 * np.pi * (200 + 10 * number) * (1 + channel) * time) for channel in range(channels)]
    soundfile.write(path, np.stack(waves, axis=1), 16000)
    return path


@pytest.mark.parametrize("on_problem", ["refuse", "skip"])
def test_emodb_with_truncated_recordings_is_rejected(tmp_path, monkeypatch, on_problem: str) -> None:
    files = emodb_files()[:4]
    monkeypatch.setattr(emodb, "_design", lambda: {Path(file).stem for file in files})
    for number, file in enumerate(files):
        tone(tmp_path / file, 2, number=number)
    message = refusal("emodb", tmp_path, on_problem=on_problem)
    assert message.startswith(f"{tmp_path}: all 4 recordings last exactly 2 s: this is a copy that was cut")
    tone(tmp_path / files[3], 2.1, number=3)
    assert len(corpus("emodb", tmp_path, on_problem=on_problem).scan().utterances) == 4


def test_emovo_downmix_right_loads_one_microphone(tmp_path) -> None:
    for number, file in enumerate(emovo_files()[:2]):
        tone(tmp_path / file, 0.5, number=number, channels=2 - number)  # one of the published files is mono
    made = corpus("emovo", tmp_path, on_problem="skip", downmix="right")
    assert made.downmix == "right"
    values = {"sampling_rate": 16000, "resampler": "soxr", "vad_mode": None, "frame_ms": 20}
    values |= {"offset_s": None, "duration_s": None}
    stereo, mono = (utterance.path for utterance in made.scan().utterances)
    right = Audio(**values, downmix=made.downmix)
    assert soundfile.info(stereo).channels == 2
    np.testing.assert_array_equal(right.load(stereo).wave, soundfile.read(stereo, dtype="float32")[0][:, 1])
    np.testing.assert_array_equal(right.load(mono).wave, soundfile.read(mono, dtype="float32")[0])


def test_unusable_crema_d_clips_are_excluded_and_reported(complete) -> None:
    scan = corpus("crema_d", complete("crema_d")).scan()
    assert len(scan.utterances) == 7435
    assert (
        {Path(path).stem for path in problems(scan)} == set(crema_d.UNUSABLE) == {p.path[9:-4] for p in scan.problems}
    )
    assert problems(scan)["AudioWAV/1076_MTI_SAD_XX.wav"] == "published without sound"
    assert "1013_WSI_DIS_XX" in problems(scan)["AudioWAV/1013_WSI_SAD_XX.wav"]
    assert not crema_d.NEVER_RECORDED & {u.id for u in scan.utterances}
    assert not crema_d.NEVER_RECORDED & crema_d._design()


def test_git_lfs_pointer_is_reported(part) -> None:
    root = part("crema_d", 20)
    path = next(root.rglob("*.wav"))
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 72862\n")
    scan = corpus("crema_d", root, on_problem="skip").scan()
    file = path.relative_to(root).as_posix()
    assert problems(scan)[file] == "a pointer of git-lfs, not the audio: git lfs pull fetches it"
    assert path.stem not in {problem.path for problem in scan.problems}  # not also reported as missing


def test_savee_layouts_give_the_same_utterances(complete, tmp_path) -> None:
    deep = corpus("savee", complete("savee")).scan()
    for utterance in deep.utterances:
        write(tmp_path / "ALL" / f"{utterance.id}.wav", utterance.path.read_text())
    flat = corpus("savee", tmp_path).scan()
    assert [u.id for u in flat.utterances] == [u.id for u in deep.utterances]
    assert [u.digest for u in flat.utterances] == [u.digest for u in deep.utterances]
    for utterance in deep.utterances[:2]:
        write(tmp_path / "AudioData" / utterance.speaker / utterance.path.name, utterance.path.read_text())
    assert "2 of 482 files are byte-identical copies under" in refusal("savee", tmp_path)


def test_doubled_tess_archive_is_reported_once(part) -> None:
    root = part("tess", 20)
    for path in sorted(root.rglob("*.wav")):
        write(root / "TESS data" / path.relative_to(root), path.read_text())
    scan = corpus("tess", root, on_problem="skip").scan()
    (reason,) = problems(scan).values()
    assert "files are byte-identical copies under TESS data (the Kaggle archive ships every clip twice)" in reason


# ---------------------------------------------------------------------- real


@pytest.mark.real
def test_real_emodb_has_no_problems(emodb_root: Path) -> None:
    scan = corpus("emodb", emodb_root).scan()
    assert (emodb_root / "erkennung.txt").is_file()
    assert scan.problems == ()
    assert Counter(u.emotion for u in scan.utterances) == EMOTIONS_OF["emodb"]
    assert Counter(u.speaker for u in scan.utterances) == SPEAKERS_OF["emodb"]
    assert len({u.digest for u in scan.utterances}) == 535


@pytest.mark.real
def test_real_emovo_has_no_problems(emovo_root: Path) -> None:
    scan = corpus("emovo", emovo_root).scan()
    assert scan.problems == ()
    assert Counter(u.emotion for u in scan.utterances) == EMOTIONS_OF["emovo"]
    assert Counter(u.speaker for u in scan.utterances) == SPEAKERS_OF["emovo"]
    assert Counter(u.statement for u in scan.utterances) == dict.fromkeys(emovo.SENTENCES, 42)
    assert len({u.digest for u in scan.utterances}) == 588
