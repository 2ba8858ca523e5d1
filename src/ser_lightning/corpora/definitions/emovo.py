"""EMOVO: an Italian corpus of acted emotional speech.

The stereo files contain two microphones whose signals are hardly correlated, so that their mean would cancel speech.
The right channel has the better range for m2 and m3.

``tri-f3-n1`` and ``tri-f3-n2`` are the same recording, cut differently (the correlation of their waveforms is 0.98).
Both belong to the 588 recordings; the leak check of a split reports them if the split separates them.
"""

from ser_lightning.corpora.definition import Definition, combine, same

EMOTION_CODES = {
    "neu": "neutral",
    "gio": "happy",  # gioia
    "tri": "sad",  # tristezza
    "rab": "angry",  # rabbia
    "pau": "fearful",  # paura
    "dis": "disgust",
    "sor": "surprised",  # sorpresa
}
SPEAKERS = ("f1", "f2", "f3", "m1", "m2", "m3")
STATEMENTS = (
    *("b1", "b2", "b3"),  # short
    *("l1", "l2", "l3", "l4"),  # long
    *("n1", "n2", "n3", "n4", "n5"),  # nonsense
    *("d1", "d2"),  # questions
)

EMOVO = Definition(
    name="emovo",
    title="EMOVO",
    license="free for research",
    source="Costantini et al. 2014, LREC, pp. 3501-3504",
    how_to_get="ask its authors (Costantini et al. 2014, LREC, pp. 3501-3504) for EMOVO and unpack it",
    pattern="(?P<emotion>[a-z]{3})-(?P<speaker>[a-z][0-9])-(?P<statement>[a-z][0-9])",
    example="dis-f1-b1",
    codes={"emotion": EMOTION_CODES, "speaker": same(SPEAKERS), "statement": same(STATEMENTS)},
    ids=lambda: combine(EMOTION_CODES, SPEAKERS, STATEMENTS, separator="-"),
    genders={speaker: "female" if speaker.startswith("f") else "male" for speaker in SPEAKERS},
    constants={"take": 1, "language": "it"},
    folder="(?P<speaker>[fm][123])",
)
