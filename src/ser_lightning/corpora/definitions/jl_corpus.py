"""JL-corpus: New Zealand English, acted: 2400 recordings, four speakers, five primary and five secondary emotions."""

from ser_lightning.corpora.definition import Definition, combine, same

SPEAKERS = ("female1", "female2", "male1", "male2")
PRIMARY = ("neutral", "happy", "sad", "angry", "excited")
SECONDARY = ("anxious", "apologetic", "assertive", "concerned", "encouraging")
STATEMENTS = [str(number) for number in range(1, 16)]
TAKES = {"a_1": 1, "a_2": 2, "b_1": 3, "b_2": 4}  # two sessions of two repetitions


def ids() -> set[str]:
    """Return the ids of the 2400 recordings: 4 speakers x 10 emotions x 15 sentences x 4 takes."""
    starts = combine(SPEAKERS, (*PRIMARY, *SECONDARY), STATEMENTS, separator="_")
    return {f"{start}{take}" for start in starts for take in TAKES}


JL_CORPUS = Definition(
    name="jl_corpus",
    title="JL-corpus",
    license="not stated in its repository; see Kaggle",
    source="James et al. 2018, Interspeech, pp. 2768-2772; https://www.kaggle.com/datasets/tli725/jl-corpus",
    how_to_get="download it from https://www.kaggle.com/datasets/tli725/jl-corpus",
    pattern="(?P<speaker>[a-z]+[0-9])_(?P<emotion>[a-z]+)_(?P<statement>[0-9]{1,2})(?P<take>[ab]_[0-9])",
    example="male2_concerned_6b_1",
    codes={
        "speaker": same(SPEAKERS),
        "emotion": same((*PRIMARY, *SECONDARY)),
        "statement": same(STATEMENTS),
        "take": TAKES,
    },
    ids=ids,
    genders={speaker: speaker.rstrip("12") for speaker in SPEAKERS},
    constants={"language": "en"},
)
