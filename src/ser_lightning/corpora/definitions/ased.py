"""ASED: the Amharic Speech Emotion Dataset, acted: 2474 recordings, 65 speakers (25 female, 40 male), four dialects.

The sentences 01 and 02 were spoken in every emotion; each emotion has five others of its own, 03 to 07.
"""

from ser_lightning.corpora.definition import Definition

ASED = Definition(
    name="ased",
    title="ASED",
    license="not stated by its authors, who call it freely available",
    source="Retta et al. 2023, ACM TALLIP 22(1), https://arxiv.org/abs/2201.02710; https://github.com/Ethio2021/ASED_V1",
    how_to_get="clone https://github.com/Ethio2021/ASED_V1",
    # "own" is the emotion where the sentence is one of its own, and empty otherwise
    pattern=(
        "(?=(?P<own>[a-z](?=[0-9]-0[3-7])|))(?P<emotion>[a-z])[0-9]-(?P<statement>[0-9]{2})-(?P<take>[0-9]{2})"
        "-(?P<gender>[0-9]{2})-(?P<speaker>[0-9]{2})"
    ),
    example="a5-06-01-01-21",
    codes={
        "emotion": {"n": "neutral", "f": "fearful", "h": "happy", "s": "sad", "a": "angry"},
        "gender": {"01": "female", "02": "male"},
        "take": {f"{number:02}": number for number in range(1, 10)},
    },
    ids=None,
    templates={"statement": "{own}{statement}"},
    constants={"language": "am"},
)
