"""BAVED: the Basic Arabic Vocal Emotions Dataset: 1935 recordings of seven words, 61 speakers (16 female, 45 male).

The labels are levels of emotion: low (tired or down), neutral, and high (positive or negative: happy, sad or angry).
"""

from ser_lightning.corpora.definition import Definition

BAVED = Definition(
    name="baved",
    title="BAVED",
    license="not stated by its authors, who advise against commercial use",
    source="https://github.com/40uf411/Basic-Arabic-Vocal-Emotions-Dataset",
    how_to_get="clone https://github.com/40uf411/Basic-Arabic-Vocal-Emotions-Dataset",
    pattern=(
        "(?P<speaker>[0-9]+)-(?P<gender>[mfMF])-(?P<age>[0-9]+)-(?P<statement>[0-6])-(?P<emotion>[0-9])-(?P<record>[0-9]+)"
    ),
    example="10-m-23-0-1-154",
    codes={
        "gender": {"m": "male", "M": "male", "f": "female", "F": "female"},
        "emotion": {"0": "low", "1": "neutral", "2": "high"},
        "age": {str(years): years for years in range(1, 120)},
    },
    ids=None,
    constants={"language": "ar"},
)
