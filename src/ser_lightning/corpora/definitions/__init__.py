"""The published corpora, one module each."""

from ser_lightning.corpora.definitions.ased import ASED
from ser_lightning.corpora.definitions.baved import BAVED
from ser_lightning.corpora.definitions.crema_d import CREMA_D
from ser_lightning.corpora.definitions.emodb import EMODB
from ser_lightning.corpora.definitions.emotale import EMOTALE
from ser_lightning.corpora.definitions.emovo import EMOVO
from ser_lightning.corpora.definitions.iemocap import IEMOCAP
from ser_lightning.corpora.definitions.jl_corpus import JL_CORPUS
from ser_lightning.corpora.definitions.meld import MELD
from ser_lightning.corpora.definitions.msp_podcast import MSP_PODCAST
from ser_lightning.corpora.definitions.nemo import NEMO
from ser_lightning.corpora.definitions.ravdess import RAVDESS
from ser_lightning.corpora.definitions.savee import SAVEE
from ser_lightning.corpora.definitions.tess import TESS
from ser_lightning.corpora.definitions.turev_db import TUREV_DB
from ser_lightning.corpora.definitions.urdu import URDU

DEFINITIONS = {
    each.name: each
    for each in (
        *(RAVDESS, EMODB, EMOVO, CREMA_D, SAVEE, TESS, ASED, URDU, NEMO, EMOTALE, BAVED, TUREV_DB, JL_CORPUS),
        *(IEMOCAP, MELD, MSP_PODCAST),
    )
}
"""The published corpora, by name."""
