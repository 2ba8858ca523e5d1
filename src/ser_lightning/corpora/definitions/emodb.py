"""EmoDB: the Berlin Database of Emotional Speech, German, acted."""

from ser_lightning.corpora.definition import Definition, same
from ser_lightning.corpora.definitions.listed import listed

GENDERS = {
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
}

EMODB = Definition(
    name="emodb",
    title="EmoDB",
    license="CC0",
    source="Burkhardt et al. 2005, Interspeech, pp. 1517-1520; http://emodb.bilderbar.info",
    how_to_get="download it from http://emodb.bilderbar.info and unpack it",
    pattern="(?P<speaker>[0-9]{2})(?P<statement>[ab][0-9]{2})(?P<emotion>[A-Z])(?P<take>[a-z])",
    example="03a01Fa",
    codes={
        "speaker": same(sorted(GENDERS)),
        "statement": same(("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")),
        "emotion": {
            "N": "neutral",
            "F": "happy",  # Freude
            "T": "sad",  # Trauer
            "W": "angry",  # Wut
            "A": "fearful",  # Angst
            "E": "disgust",  # Ekel
            "L": "bored",  # Langeweile
        },
        "take": {letter: number for number, letter in enumerate("abcdef", start=1)},
    },
    ids=lambda: listed("emodb"),  # 535; they follow no rule, because takes that listeners did not recognize are absent
    genders=GENDERS,
    constants={"language": "de"},
    truncated_seconds=2,
)
