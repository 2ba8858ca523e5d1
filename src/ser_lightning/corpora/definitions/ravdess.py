"""RAVDESS: the audio-only speech of the Ryerson Audio-Visual Database of Emotional Speech and Song, English."""

from ser_lightning.corpora.definition import Archive, Definition, combine, same
from ser_lightning.labels import EMOTIONS

ACTORS = [f"{number:02}" for number in range(1, 25)]  # odd numbers are men, even numbers are women
EMOTION_CODES = {f"{number:02}": label for number, label in enumerate(EMOTIONS[:8], start=1)}
TWO = ("01", "02")


def ids() -> set[str]:
    """Return the ids of the 1440 recordings: 24 actors x 60; neutral is never strong."""
    every = combine(["03"], ["01"], EMOTION_CODES, TWO, TWO, TWO, ACTORS, separator="-")
    return {id_ for id_ in every if not id_.startswith("03-01-01-02")}


RAVDESS = Definition(
    name="ravdess",
    title="RAVDESS",
    license="CC BY-NC-SA 4.0",
    source="Livingstone & Russo 2018, PLOS ONE 13(5) e0196391; https://zenodo.org/records/1188976",
    how_to_get=(
        "run ser-prepare corpus=ravdess corpus.download=true corpus.root=<folder>, or download"
        " Audio_Speech_Actors_01-24.zip from Zenodo record 1188976 (https://zenodo.org/records/1188976) and unpack it"
    ),
    # [0-9] instead of \d, which also matches the digits of other scripts.
    pattern=(
        "(?P<modality>[0-9]{2})-(?P<vocal_channel>[0-9]{2})-(?P<emotion>[0-9]{2})-(?P<intensity>[0-9]{2})"
        "-(?P<statement>[0-9]{2})-(?P<take>[0-9]{2})-(?P<speaker>[0-9]{2})"
    ),
    example="03-01-06-01-02-01-12",
    codes={
        "modality": {"03": "audio"},  # 01 is audio and video, 02 is video
        "vocal_channel": {"01": "speech"},  # 02 is song
        "emotion": EMOTION_CODES,
        "intensity": {"01": "normal", "02": "strong"},
        "statement": same(TWO),  # "Kids are talking by the door", "Dogs are sitting by the door"
        "take": {"01": 1, "02": 2},
        "speaker": same(ACTORS),
    },
    ids=ids,
    genders={actor: "male" if int(actor) % 2 else "female" for actor in ACTORS},
    constants={"language": "en"},
    folder="actor_(?P<speaker>[0-9]{2})",
    # Published under two names. The leak check of a split reports the pair if the split separates it.
    same_recording={frozenset({"03-01-03-01-02-01-07", "03-01-03-01-02-02-07"})},
    copies="the Kaggle archive contains every recording twice",
    archive=Archive(
        url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip?download=1",
        size=208_468_073,
        md5="bc696df654c87fed845eb13823edef8a",
    ),
)
