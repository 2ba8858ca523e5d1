"""EmoTale: Danish and English, acted: 800 recordings, 18 speakers, five sentences, five emotions.

The names do not give the gender.
"""

from ser_lightning.corpora.definition import Definition

EMOTALE = Definition(
    name="emotale",
    title="EmoTale",
    license="not stated in its repository; see its datasheet",
    source="Hjuler et al. 2025, ASRU, https://arxiv.org/abs/2508.14548; https://github.com/snehadas/EmoTale",
    how_to_get="follow https://github.com/snehadas/EmoTale",
    pattern="(?P<language>[A-Z]{2})_(?P<speaker>[0-9]{3})_(?P<emotion>[A-Z])_(?P<statement>[0-9])",
    example="DK_004_A_5",
    codes={
        "language": {"DK": "da", "EN": "en"},
        "emotion": {"N": "neutral", "H": "happy", "S": "sad", "A": "angry", "B": "bored"},
    },
    ids=None,
    templates={"statement": "{language}{statement}"},
    constants={"take": 1},
)
