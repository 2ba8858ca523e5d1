"""SAVEE: the audio of the Surrey Audio-Visual Expressed Emotion database, English, four men.

Sentences are numbered within their emotion, so each counts as a statement of its own. Three of them are spoken with
every emotion, but the names do not say which.
"""

from ser_lightning.corpora.definition import Definition, same

SPEAKERS = ("DC", "JE", "JK", "KL")
EMOTION_CODES = {
    "n": "neutral",
    "h": "happy",
    "sa": "sad",
    "a": "angry",
    "f": "fearful",
    "d": "disgust",
    "su": "surprised",
}


def ids() -> set[str]:
    """Return the ids of the 480 recordings: 15 per speaker and emotion, and 30 neutral ones."""
    return {
        f"{speaker}_{code}{number:02}"
        for speaker in SPEAKERS
        for code in EMOTION_CODES
        for number in range(1, 31 if code == "n" else 16)
    }


SAVEE = Definition(
    name="savee",
    title="SAVEE",
    license="free for research",
    source="Haq & Jackson 2009, AVSP, pp. 53-58; http://kahlan.eps.surrey.ac.uk/savee",
    how_to_get="register at http://kahlan.eps.surrey.ac.uk/savee and unpack AudioData.zip",
    pattern="(?:(?P<speaker>[A-Z]{2})_)?(?P<emotion>[a-z]{1,2})(?P<number>[0-9]{2})",
    example="DC_a01, or a01 in a folder DC",
    codes={"speaker": same(SPEAKERS), "emotion": EMOTION_CODES},
    ids=ids,
    templates={"id": "{speaker}_{emotion}{number}", "statement": "{emotion}{number}"},
    genders=dict.fromkeys(SPEAKERS, "male"),
    constants={"take": 1, "language": "en"},
    folder="(?P<speaker>DC|JE|JK|KL)",
)
