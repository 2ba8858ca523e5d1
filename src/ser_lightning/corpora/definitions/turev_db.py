"""TurEV-DB: the Turkish Emotion-Voice Database, acted: 1735 recordings of words, six speakers.

The folders give the emotion. The names give neither the gender nor the take.
"""

from ser_lightning.corpora.definition import Definition

TUREV_DB = Definition(
    name="turev_db",
    title="TurEV-DB",
    license="CC BY-NC-ND 4.0",
    source="Canpolat et al. 2020, SLTU-CCURL, pp. 368-375; https://github.com/Xeonen/TurEV-DB",
    how_to_get="clone https://github.com/Xeonen/TurEV-DB",
    pattern="(?P<speaker>[0-9]+)_(?P<style>[a-z]+)_(?P<statement>[^_]+)",
    example="1984_sk_orgu in a folder Calm",
    codes={"emotion": {"Calm": "calm", "Happy": "happy", "Sad": "sad", "Angry": "angry"}},
    ids=None,
    constants={"language": "tr"},
    folder="(?P<emotion>angry|calm|happy|sad)",
)
