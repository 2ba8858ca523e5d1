"""Tests of the synthetic corpus: design, acoustics, reproducibility and reuse."""

import shutil
from collections import Counter
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import parselmouth
import pytest
import soundfile
import soxr

from ser_lightning.corpora import synthesis, synthetic
from ser_lightning.corpora.synthesis import VERSION, base_of, render, speak
from ser_lightning.corpora.synthetic import MANIFEST, Synthetic, make_clips, make_corpus, stems
from ser_lightning.corpora.utterance import Scan
from ser_lightning.errors import InputError
from ser_lightning.labels import RAVDESS

FOLDER = f"synthetic-{VERSION}-2x1"


def corpus(root: Path, **changes: object) -> Synthetic:
    values = {"root": root, "speakers": 2, "repetitions": 1, "workers": 2, "downmix": "mean", "merge": None}
    return Synthetic(**(values | changes))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic")
    part = root / f".{FOLDER}.part"  # left behind by a killed build
    (part / "Actor_01").mkdir(parents=True)
    (part / "Actor_01" / "03-01-01-01-01-01-01.flac").write_bytes(b"half a clip")
    corpus(root).scan()
    return root


@pytest.fixture(scope="module")
def scan(root) -> Scan:
    return corpus(root).scan()


@pytest.fixture
def copy(root, tmp_path) -> Path:
    shutil.copytree(root / FOLDER, tmp_path / FOLDER)
    return tmp_path


@pytest.fixture(scope="module")
def bases():
    """Return the base sentences, synthesized in a fresh process."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(speak)


@pytest.fixture(scope="module")
def measured(scan) -> dict[str, dict[str, float]]:
    """Return median F0 in Hz, its spread in semitones, spoken seconds, level and brightness in dB for each clip."""
    values = {}
    for utterance in scan.utterances:
        samples, rate = soundfile.read(utterance.path)
        sound = parselmouth.Sound(soxr.resample(samples, rate, 12_000), 12_000)
        pitch = sound.to_pitch(0.02, 50, 700).selected_array["frequency"]
        pitch = pitch[pitch > 0]
        loud = np.flatnonzero(np.abs(samples) > 0.05 * np.abs(samples).max())
        power = np.abs(np.fft.rfft(samples)) ** 2
        hertz = np.fft.rfftfreq(len(samples), 1 / rate)
        values[utterance.id] = {
            "pitch": np.median(pitch),
            "span": np.std(12 * np.log2(pitch)),
            "seconds": (loud[-1] - loud[0]) / rate,
            "level": 10 * np.log10(np.mean(samples[loud[0] : loud[-1]] ** 2)),
            "brightness": 10 * np.log10(power[hertz > 1000].sum() / power[hertz < 1000].sum()),
        }
    return values


def average(measured, what: str, *, emotion: str, intensity: str = "02", actor: str = "") -> float:
    prefix = f"03-01-{RAVDESS.index(emotion) + 1:02}-{intensity}-"
    chosen = [v[what] for stem, v in measured.items() if stem.startswith(prefix) and stem.endswith(actor)]
    assert chosen
    return float(np.mean(chosen))


def test_scan_follows_design(scan):
    assert scan.problems == ()
    assert len(scan.utterances) == 60
    assert [u.id for u in scan.utterances] == sorted(stems(speakers=2, repetitions=1))
    assert Counter(u.emotion for u in scan.utterances) == {e: 4 if e == "neutral" else 8 for e in RAVDESS}
    assert Counter((u.speaker, u.gender) for u in scan.utterances) == {
        ("01", "male"): 30,
        ("02", "female"): 30,
    }
    assert Counter(u.intensity for u in scan.utterances) == {"normal": 32, "strong": 28}
    assert Counter(u.statement for u in scan.utterances) == {"01": 30, "02": 30}
    assert {(u.corpus, u.take) for u in scan.utterances} == {("synthetic", 1)}
    assert len({u.digest for u in scan.utterances}) == 60
    for u in scan.utterances:
        assert u.path.name == f"{u.id}.flac"
        assert u.path.parent.name == f"Actor_{u.speaker}"


@pytest.mark.parametrize(("speakers", "repetitions", "clips"), [(8, 2, 480), (24, 2, 1440), (2, 2, 120)])
def test_stems_of_other_corpus_sizes(speakers, repetitions, clips):
    names = stems(speakers=speakers, repetitions=repetitions)
    assert len(set(names)) == clips
    assert names == sorted(names)
    assert {int(name[-2:]) for name in names} == set(range(1, speakers + 1))
    # A larger corpus contains every clip of a smaller one.
    assert set(stems(speakers=2, repetitions=1)) <= set(names)


def test_clips_have_format_and_duration_of_ravdess(scan):
    for utterance in scan.utterances:
        info = soundfile.info(utterance.path)
        assert (info.samplerate, info.channels, info.subtype, info.format) == (48_000, 1, "PCM_16", "FLAC")
        assert 2.2 < info.duration < 5
        samples, _ = soundfile.read(utterance.path)
        assert 0.05 < np.abs(samples).max() < 1  # not clipped
        for silence in (samples[:19_200], samples[-19_200:]):  # 0.4 s
            assert 0 < np.sqrt(np.mean(silence**2)) < 0.01 * np.abs(samples).max()


def test_emotions_differ_in_acoustic_measures(measured):
    for what, order in {
        "pitch": ("sad", "neutral", "happy", "fearful"),
        "seconds": ("happy", "neutral", "sad"),
        "level": ("sad", "neutral", "angry"),
        "brightness": ("sad", "neutral", "angry"),
        "span": ("calm", "surprised"),
    }.items():
        values = [average(measured, what, emotion=e, intensity="01" if e == "neutral" else "02") for e in order]
        assert values == sorted(values), (what, order)
        assert values[-1] - values[0] > 0.05 * abs(values[0]), (what, order)


def test_strong_intensity_raises_pitch_and_level(measured):
    assert average(measured, "pitch", emotion="fearful") > average(measured, "pitch", emotion="fearful", intensity="01")
    assert average(measured, "level", emotion="angry") > average(measured, "level", emotion="angry", intensity="01")


def test_male_voices_are_lower_than_female_voices(measured):
    for emotion in RAVDESS[1:]:
        man, woman = (average(measured, "pitch", emotion=emotion, actor=actor) for actor in ("-01", "-02"))
        assert 70 < man < 0.85 * woman < 500


def test_clips_depend_only_on_their_stem(scan, bases):
    """Regression test: a random number cached in Praat made a clip depend on the previous one."""
    clips = {u.id: u for u in scan.utterances}
    chosen = ["03-01-06-02-01-01-02", "03-01-05-02-02-01-01", "03-01-01-01-01-01-01", "03-01-08-01-02-01-02"]
    for stem in chosen:  # in another order and process than the fixture
        expected, _ = soundfile.read(clips[stem].path, dtype="int16")
        np.testing.assert_array_equal(render(stem, bases[base_of(stem)]), expected)


def test_clips_do_not_depend_on_workers_or_other_clips(scan, tmp_path):
    names = ["03-01-08-02-02-01-02", "03-01-03-01-01-01-01", "03-01-07-01-01-02-24"]
    make_corpus(tmp_path, names, workers=1)
    digests = {line[66:]: line[:64] for line in (tmp_path / MANIFEST).read_text().splitlines()}
    assert len(digests) == 3
    for utterance in scan.utterances:
        path = f"Actor_{utterance.speaker}/{utterance.id}.flac"
        assert digests.pop(path, utterance.digest) == utterance.digest
    assert set(digests) == {"Actor_24/03-01-07-01-01-02-24.flac"}  # the others were compared


def test_repetitions_and_speakers_differ(bases):
    one = render("03-01-03-01-01-01-01", bases["Male1", "01"])
    for stem in ("03-01-03-01-01-02-01", "03-01-03-01-01-01-13"):  # actor 13 has the voice of actor 1
        assert base_of(stem) == ("Male1", "01")
        assert not np.array_equal(render(stem, bases["Male1", "01"]), one)


def test_every_voice_speaks_every_statement(bases):
    design = product(range(1, 25), ("01", "02"))
    used = {base_of(f"03-01-01-01-{statement}-01-{actor:02}") for actor, statement in design}
    assert used == bases.keys()
    assert all(1.2 * 24_000 < len(base) < 3 * 24_000 for base in bases.values())


def test_base_sentence_has_plausible_voicing_and_pitch():
    base = speak()["Annie", "02"]  # not reproducible in this process, but speech
    pitch = parselmouth.Sound(base.astype(float), 24_000).to_pitch(0.01, 75, 500).selected_array["frequency"]
    assert 0.4 < np.mean(pitch > 0) < 0.95
    assert 150 < np.median(pitch[pitch > 0]) < 300


def test_make_clips_returns_digests_of_written_files(bases, scan, tmp_path):
    clip = scan.utterances[0]
    made = make_clips(tmp_path, [clip.id], bases[base_of(clip.id)])
    assert made == {f"Actor_01/{clip.id}.flac": clip.digest}


def test_remains_of_killed_build_are_removed(root):
    assert [path.name for path in root.iterdir() if not path.name.endswith(".lock")] == [FOLDER]
    assert len(list((root / FOLDER).rglob("*.*"))) == 60


def test_failed_build_leaves_no_files(tmp_path, monkeypatch):
    def interrupted(words, **_):
        (Path(words[3]) / "some.flac").write_bytes(b"clip")
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic.subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        corpus(tmp_path).scan()
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_failing_clip_stops_the_build(tmp_path):
    with pytest.raises(InputError, match="wrong emotion: got 09"):
        make_corpus(tmp_path, ["03-01-09-01-01-01-01"], workers=1)
    (tmp_path / "Actor_01").write_text("a file where a folder should be")
    with pytest.raises(FileExistsError):
        make_corpus(tmp_path, ["03-01-01-01-01-01-01"], workers=1)
    assert not (tmp_path / MANIFEST).exists()


def test_second_builder_reuses_corpus_of_the_first(root, tmp_path, monkeypatch):
    class Lock:
        def __init__(self, path):
            assert path.parent == tmp_path

        def __enter__(self):
            shutil.copytree(root / FOLDER, tmp_path / FOLDER)  # the first one finishes

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(synthetic, "FileLock", Lock)
    monkeypatch.setattr(synthetic.subprocess, "run", lambda *a, **k: pytest.fail("made twice"))
    assert len(corpus(tmp_path).scan().utterances) == 60


def test_existing_corpus_is_reused(root, scan, monkeypatch):
    before = {u.path: u.path.stat().st_mtime_ns for u in scan.utterances}
    monkeypatch.setattr(synthetic.subprocess, "run", lambda *a, **k: pytest.fail("made again"))
    assert corpus(root, workers=1).scan() == scan
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_each_corpus_size_has_its_own_folder(tmp_path):
    folders = {corpus(tmp_path, speakers=s, repetitions=r).folder for s in (2, 4) for r in (1, 2)}
    assert len(folders) == 4


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"x")


CLIP = "Actor_02/03-01-05-02-01-01-02.flac"


@pytest.mark.parametrize(
    ("path", "damage", "reason"),
    [
        (CLIP, change, "changed"),
        (CLIP, Path.unlink, "missing"),
        (CLIP, lambda path: path.write_bytes(b""), "empty file"),
        ("Actor_02/more.flac", lambda path: path.write_bytes(b"x"), "not a clip of the corpus"),
        (MANIFEST, Path.unlink, "unreadable"),
        (MANIFEST, lambda path: path.write_text("garbage\n"), "unreadable"),
        (MANIFEST, lambda path: path.write_text(path.read_text()[: 100 * 10]), "unreadable|does not list"),
        (MANIFEST, lambda path: path.write_text(path.read_text().replace(CLIP, "x.flac")), "does not list"),
    ],
)
def test_damaged_corpus_raises_input_error(copy, path, damage, reason):
    assert len(corpus(copy).scan().utterances) == 60
    path = copy / FOLDER / path
    damage(path)
    with pytest.raises(InputError, match=rf"(?s)^{path}: .*({reason}).*delete {copy / FOLDER},") as error:
        corpus(copy).scan()
    assert "\n" not in str(error.value)


def test_unreadable_clip_raises_input_error(copy, monkeypatch):
    def fail(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(synthetic, "sha256", fail)
    with pytest.raises(InputError, match=r"03-01-01-01-01-01-01\.flac: unreadable \(Permission denied\); delete"):
        corpus(copy).scan()


def test_unwritable_root_raises_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file.*cannot be written: .*; give another corpus\.root"):
        corpus(tmp_path / "file" / "root").scan()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("speakers", value) for value in (0, 1, 3, 26, -2)),
        *(("repetitions", value) for value in (0, 3)),
        *(("workers", value) for value in (0, -1)),
    ],
)
def test_invalid_arguments_raise_input_error(tmp_path, key, value):
    with pytest.raises(InputError, match=rf"corpus\.{key} is {value!r}; expected"):
        corpus(tmp_path, **{key: value})
    assert corpus(tmp_path, downmix="interleave").downmix == "interleave"


def test_every_emotion_has_a_distinct_rule():
    assert tuple(synthesis.RULES) == RAVDESS
    assert len({str(rule) for rule in synthesis.RULES.values()}) == 8
