"""nEMO: Polish, acted: 4481 recordings, nine speakers, six emotions. The names do not give the gender."""

from ser_lightning.corpora.definition import Definition

NEMO = Definition(
    name="nemo",
    title="nEMO",
    license="CC BY-NC-SA 4.0",
    source="Christop 2024, LREC-COLING; https://github.com/amu-cai/nEMO",
    how_to_get="clone https://github.com/amu-cai/nEMO and give its folder samples",
    pattern="(?P<speaker>[A-Za-z0-9]+)_(?P<emotion>[a-z]+)_(?P<statement>[0-9]+)",
    example="SK1_anger_1",
    codes={
        "emotion": {
            "neutral": "neutral",
            "happiness": "happy",
            "sadness": "sad",
            "anger": "angry",
            "fear": "fearful",
            "surprised": "surprised",
        },
    },
    ids=None,
    constants={"take": 1, "language": "pl"},
)
