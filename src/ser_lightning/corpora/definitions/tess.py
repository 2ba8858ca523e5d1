"""TESS: the Toronto Emotional Speech Set, English, two women."""

from ser_lightning.corpora.definition import Definition, combine, same
from ser_lightning.corpora.definitions.listed import listed

SPEAKERS = ("OAF", "YAF")  # an older and a younger woman
EMOTION_CODES = {
    "neutral": "neutral",
    "happy": "happy",
    "sad": "sad",
    "angry": "angry",
    "fear": "fearful",
    "disgust": "disgust",
    "ps": "surprised",  # pleasant surprise
}
WORDS = listed("tess_words")  # each spoken after "Say the word"

TESS = Definition(
    name="tess",
    title="TESS",
    license="CC BY-NC-ND 4.0",
    source="Pichora-Fuller & Dupuis 2020, https://doi.org/10.5683/SP2/E8H2MF",
    how_to_get="download it from https://doi.org/10.5683/SP2/E8H2MF and unpack it",
    pattern="(?P<speaker>[A-Z]+)_(?P<statement>[a-z]+)_(?P<emotion>[a-z]+)",
    example="OAF_back_angry",
    codes={"speaker": same(SPEAKERS), "statement": same(WORDS), "emotion": EMOTION_CODES},
    ids=lambda: combine(SPEAKERS, WORDS, EMOTION_CODES, separator="_"),
    genders=dict.fromkeys(SPEAKERS, "female"),
    constants={"take": 1, "language": "en"},
    folder="(?P<speaker>OAF|YAF)_(?P<emotion>neutral|happy|sad|angry|fear|disgust|pleasant_surprised?)",
    aliases={
        "OA_bite_neutral": "OAF_bite_neutral",  # a typo in the published name
        "pleasant_surprise": "ps",
        "pleasant_surprised": "ps",
    },
    copies="the Kaggle archive contains every recording twice",
)
