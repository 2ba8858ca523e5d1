"""The data card of a corpus whose faults are known."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_lightning.data_card.clip_audio import measure_wave
from ser_lightning.data_card.describe import problem_kinds
from ser_lightning.recording_conditions import LOWEST_DB, SPECTRUM

RATE = 16000
SPEAKERS = {"anna": "female", "ben": "male", "cleo": "female", "dan": "male"}
EMOTIONS = ("happy", "sad", "angry")


def voice(generator: np.random.Generator, *, seconds: float, level: float) -> np.ndarray:
    """Return a vowel-like sound (samples,) with a glide of its own, and the given peak."""
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = np.interp(time, np.linspace(0, seconds, 8), generator.uniform(90, 260, 8))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    wave = sum(np.sin(k * phase) / k for k in range(1, 12)) + 0.01 * generator.standard_normal(len(time))
    return level * wave / np.abs(wave).max()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers with ten clips of three emotions each, and one fault of every kind.

    Angry clips are loud and in another folder; only dan is bored; eve is only happy; clips 0 to 4 of anna are clipped,
    silent, an identical copy, a near duplicate, and missing.
    """
    root = tmp_path_factory.mktemp("planted")
    generator = np.random.default_rng(0)
    rows = []

    def add(speaker: str, emotion: str, wave: np.ndarray, raters: str = "xx") -> np.ndarray:
        folder = "studio" if emotion == "angry" else "home"
        path = root / folder / f"{speaker}-{emotion}-{len(rows)}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, wave, RATE, subtype="PCM_16")
        votes = [emotion if rater == "x" else "sad" for rater in raters]
        rows.append([path.relative_to(root), speaker, SPEAKERS.get(speaker, "female"), *votes])
        return wave

    for speaker in SPEAKERS:
        for emotion in EMOTIONS:
            for _ in range(10):
                level = 0.9 if emotion == "angry" else 0.1
                add(speaker, emotion, voice(generator, seconds=generator.uniform(0.8, 1.2), level=level))
    for _ in range(2):
        add("dan", "bored", voice(generator, seconds=1, level=0.1))
        add("eve", "happy", voice(generator, seconds=1, level=0.1))
    add("anna", "happy", np.clip(4 * voice(generator, seconds=1, level=0.9), -1, 1))
    add("anna", "happy", np.zeros(RATE))
    copied = add("anna", "happy", voice(generator, seconds=1, level=0.1))
    add("anna", "sad", copied)
    add("anna", "happy", np.concatenate([np.zeros(160), 0.5 * copied]))
    rows[-1][-1] = "sad"
    rows[-1].append("happy")
    rows.append([Path("home/missing.wav"), "anna", "female", "sad", "sad"])
    with (root / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "speaker", "gender", "r1", "r2", "r3"])
        writer.writerows([*row, ""][:6] for row in rows)
    return root / "table.csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("card")


def prepare(succeed, folder: Path, *words: str):
    words += ("experiment=corrected", "augment=none", "split=random", f"output_root={folder}")
    done = succeed("prepare", *words)
    (path,) = folder.glob("data_cards/*/data_card.json")
    return done, json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".html").read_text(encoding="utf-8")


@pytest.fixture
def made(succeed, table, folder):
    words = ("corpus=table", f"corpus.path={table}", "corpus.raters=[r1,r2,r3]", "corpus.on_problem=skip")
    return prepare(succeed, folder, *words)


def checks(card) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in card["warnings"]:
        found.setdefault(item["check"], []).append(item["text"])
    return found


def test_counts_of_planted_corpus(made) -> None:
    _, card, _ = made
    assert (card["rows"], card["speakers"]) == (129, 5)
    assert {emotion: found["rows"] for emotion, found in card["emotions"].items()} == {
        "happy": 46,
        "sad": 41,
        "angry": 40,
        "bored": 2,
    }
    assert card["emotions"]["happy"]["genders"] == {"female": 26, "male": 20}
    assert card["by_speaker"]["dan"] == {
        "gender": "male",
        "rows": 32,
        "emotions": {"happy": 10, "sad": 10, "angry": 10, "bored": 2},
    }
    assert card["sampling_rate"] == {"16000": 129}
    assert card["channels"] == {"1": 129}
    assert sum(card["histogram"]["counts"]) == 129
    assert 0.8 <= card["quantiles"]["seconds"]["p5"] <= card["quantiles"]["seconds"]["p95"] <= 1.2


def test_faults_of_planted_corpus_are_found(made) -> None:
    _, card, _ = made
    assert card["clipping"]["clips"] == ["home/anna-happy-124"]
    assert card["silence"]["no_voiced_frame"] == ["home/anna-happy-125"]
    assert card["duplicates"] == [["home/anna-happy-126", "home/anna-sad-127"]]
    ((one, other, correlation),) = card["near_duplicates"]
    assert {one, other} == {"home/anna-happy-126", "home/anna-happy-128"}
    assert correlation > 0.9
    assert [path for path, _ in card["problems"]] == ["row 131"]
    assert card["agreement"]["rows"] == 129
    assert card["agreement"]["unanimous"] == pytest.approx(128 / 129)
    assert card["agreement"]["mean"] == pytest.approx((128 + 2 / 3) / 129)


def test_warnings_of_planted_corpus(made) -> None:
    done, card, page = made
    found = checks(card)
    assert "dan" in found["emotion of one speaker"][0]
    assert "bored" in found["emotion of one speaker"][0]
    assert len(found["emotion of one speaker"]) == 1
    assert "eve (happy)" in found["speaker of one emotion"][0]
    assert "bored" in found["emotion of one gender"][0]
    assert len(found["identical audio with different emotions"]) == 1
    strong = {item["condition"]: item["value"] for item in card["associations"] if item["strong"]}
    assert {"file folder", "loudness, RMS (dBFS)"} <= strong.keys()
    assert not {"duration (s)", "speaker", "gender"} & strong.keys()
    assert strong["file folder"] == pytest.approx(1)
    assert done.out.count("warning: ") == min(len(card["warnings"]), 13)
    for item in card["warnings"]:
        assert item["check"] == "clipping" or item["text"].split(": ")[0].split(" (")[0] in page


def test_page_is_self_contained(made) -> None:
    _, _, page = made
    assert page.count("<svg ") == 6
    assert "<script" not in page
    assert 'href="http' not in page
    assert "src=" not in page


def test_card_can_be_left_out(succeed, emodb_small, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    succeed("prepare", *emodb_small, f"output_root={tmp_path}", "data_card=null")
    assert not list(tmp_path.rglob("*.html"))


def test_problems_of_one_kind_are_counted_together() -> None:
    broken = [[path, f"cannot read {path} as audio: it is empty"] for path in ("/corpus/a b.wav", "/corpus/c.wav")]
    assert problem_kinds({"problems": [["d.wav", "missing"], *broken]}) == {
        "cannot read the file as audio": 2,
        "missing": 1,
    }


def test_measurements_of_known_waves() -> None:
    time = np.arange(48000) / 48000
    sine = np.sin(2 * np.pi * 1000 * time).astype(np.float32)[:, None]
    tone = measure_wave(0.5 * sine, 48000)
    assert (tone.seconds, tone.sampling_rate, tone.channels, tone.clipped) == (1, 48000, 1, 0)
    assert tone.rms_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert tone.noise_floor_db == pytest.approx(tone.rms_db, abs=0.1)
    assert tone.rolloff_hz == pytest.approx(1000, abs=48000 / SPECTRUM)
    square = measure_wave(np.sign(np.hstack([sine, sine]) + 1e-6), 48000)
    assert (square.clipped, square.channels) == (1, 2)
    silence = measure_wave(np.zeros((100, 1), np.float32), 8000)
    assert (silence.rms_db, silence.noise_floor_db, silence.voiced) == (LOWEST_DB, LOWEST_DB, 0)


@pytest.mark.real
@pytest.mark.slow
def test_card_of_emodb(succeed, emodb_root, tmp_path) -> None:
    _, card, _ = prepare(succeed, tmp_path, "corpus=emodb", f"corpus.root={emodb_root}")
    assert (card["rows"], card["speakers"], len(card["emotions"])) == (535, 10, 7)
    assert {emotion: found["rows"] for emotion, found in card["emotions"].items()}["angry"] == 127
    assert sum(found["gender"] == "female" for found in card["by_speaker"].values()) == 5
    assert card["sampling_rate"] == {"16000": 535}
    assert card["duplicates"] == []
    assert "emotion of one speaker" not in checks(card)
