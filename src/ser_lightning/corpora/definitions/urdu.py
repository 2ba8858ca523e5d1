"""URDU: Urdu speech from television talk shows: 400 recordings, 38 speakers, labeled by four raters."""

from ser_lightning.corpora.definition import Definition

URDU = Definition(
    name="urdu",
    title="URDU",
    license="for research only",
    source="Latif et al. 2018, FIT, https://arxiv.org/abs/1812.10411; https://github.com/siddiquelatif/URDU-Dataset",
    how_to_get="clone https://github.com/siddiquelatif/URDU-Dataset",
    pattern="(?P<speaker>S(?P<gender>[MF])[0-9]+)_F[0-9]+_(?P<emotion>[A-Z])[0-9]+",
    example="SM1_F1_A01",
    codes={
        "emotion": {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"},
        "gender": {"M": "male", "F": "female"},
    },
    ids=None,
    constants={"language": "ur"},
)
