"""ASED: the Amharic Speech Emotion Dataset, acted: 2474 recordings, 65 speakers, four dialects."""

from ser_lightning.corpora.definition import Definition

ASED = Definition(
    name="ased",
    title="ASED",
    license="not stated by its authors",
    source="Retta et al. 2023, ACM TALLIP 22(1), https://arxiv.org/abs/2201.02710; https://github.com/Ethio2021/ASED_V1",
    how_to_get="clone https://github.com/Ethio2021/ASED_V1",
    pattern=(
        "(?P<emotion>[a-z])[0-9]-(?P<statement>[0-9]{2})-(?P<take>[0-9]{2})-(?P<gender>[0-9]{2})-(?P<speaker>[0-9]{2})"
    ),
    example="a5-06-01-01-21",
    codes={
        "emotion": {"n": "neutral", "f": "fearful", "h": "happy", "s": "sad", "a": "angry"},
        "gender": {"01": "female", "02": "male"},
        "take": {f"{number:02}": number for number in range(1, 10)},
    },
    ids=None,
    templates={"statement": "{emotion}{statement}"},  # every emotion has its own sentences
    constants={"language": "am"},
)
