"""CREMA-D: the audio of the Crowd-sourced Emotional Multimodal Actors Dataset, English.

The label is the emotion that the actor was asked to express, not the emotion that the raters perceived. Seven of the
7442 published recordings are always left out: one is silent, and three were published twice, each under two labels.
"""

from ser_lightning.corpora.definition import Definition, combine, same
from ser_lightning.corpora.definitions.listed import listed

ACTORS = [str(actor) for actor in range(1001, 1092)]
WOMEN = frozenset(listed("crema_d_women"))  # 43; the other 48 are men
STATEMENTS = (
    "IEO",  # It's eleven o'clock: the only sentence spoken at three intensity levels
    "TIE",  # That is exactly what happened
    "IOM",  # I'm on my way to the meeting
    "IWW",  # I wonder what this is about
    "TAI",  # The airplane is almost full
    "MTI",  # Maybe tomorrow it will be cold
    "IWL",  # I would like a new alarm clock
    "ITH",  # I think I have a doctor's appointment
    "DFA",  # Don't forget a jacket
    "ITS",  # I think I've seen this before
    "TSI",  # The surface is slick
    "WSI",  # We'll stop in a couple of minutes
)
EMOTION_CODES = {
    "NEU": "neutral",
    "HAP": "happy",
    "SAD": "sad",
    "ANG": "angry",
    "FEA": "fearful",
    "DIS": "disgust",
}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": None}
TWO_LABELS = "one recording was published under two labels, this and {}: which is right cannot be known"


def ids() -> set[str]:
    """Return the ids of the 7442 recordings of SentenceFilenames.csv: 82 per actor, except for those never made."""
    emotional = [code for code in EMOTION_CODES if code != "NEU"]
    one_level = combine(ACTORS, STATEMENTS, EMOTION_CODES, ["XX"], separator="_")
    one_level -= combine(ACTORS, ["IEO"], emotional, ["XX"], separator="_")
    three_levels = combine(ACTORS, ["IEO"], emotional, ["LO", "MD", "HI"], separator="_")
    never_made = {"1002_TIE_NEU_XX", "1076_ITS_NEU_XX"}
    never_made |= combine(["1008_WSI", "1009_MTI", "1019_ITH"], EMOTION_CODES, ["XX"], separator="_")
    return (one_level | three_levels) - never_made


CREMA_D = Definition(
    name="crema_d",
    title="CREMA-D",
    license="Open Database License",
    source=(
        "Cao et al. 2014, IEEE Transactions on Affective Computing 5(4), pp. 377-390;"
        " https://github.com/CheyneyComputerScience/CREMA-D"
    ),
    how_to_get=("clone https://github.com/CheyneyComputerScience/CREMA-D with git-lfs and give its folder AudioWAV"),
    pattern="(?P<speaker>[0-9]{4})_(?P<statement>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<intensity>[A-Z]{2})",
    example="1001_DFA_ANG_XX",
    codes={"speaker": same(ACTORS), "statement": same(STATEMENTS), "emotion": EMOTION_CODES, "intensity": LEVELS},
    ids=ids,
    genders={actor: "female" if actor in WOMEN else "male" for actor in ACTORS},
    constants={"take": 1, "language": "en"},
    aliases={"1040_ITH_SAD_X": "1040_ITH_SAD_XX"},  # in copies older than October 2022, see issue 6 of the repository
    unusable={
        "1076_MTI_SAD_XX": "published without sound",
        "1006_TIE_HAP_XX": TWO_LABELS.format("1006_TIE_NEU_XX"),
        "1006_TIE_NEU_XX": TWO_LABELS.format("1006_TIE_HAP_XX"),
        "1013_WSI_DIS_XX": TWO_LABELS.format("1013_WSI_SAD_XX"),
        "1013_WSI_SAD_XX": TWO_LABELS.format("1013_WSI_DIS_XX"),
        "1017_IWW_ANG_XX": TWO_LABELS.format("1017_IWW_FEA_XX"),
        "1017_IWW_FEA_XX": TWO_LABELS.format("1017_IWW_ANG_XX"),
    },
)
