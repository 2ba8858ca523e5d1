"""The published corpora, one module each."""

from ser_lightning.corpora.definitions.crema_d import CREMA_D
from ser_lightning.corpora.definitions.emodb import EMODB
from ser_lightning.corpora.definitions.emovo import EMOVO
from ser_lightning.corpora.definitions.ravdess import RAVDESS
from ser_lightning.corpora.definitions.savee import SAVEE
from ser_lightning.corpora.definitions.tess import TESS

DEFINITIONS = {each.name: each for each in (RAVDESS, EMODB, EMOVO, CREMA_D, SAVEE, TESS)}
"""The published corpora, by name."""
