from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_lightning.corpora.audio_files import sha256
from ser_lightning.corpora.utterance import Utterance


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Return four utterances with audio files of 0.5 to 1.25 s."""
    rng = np.random.default_rng(0)
    made = []
    for i, id_ in enumerate("abcd"):
        path = tmp_path / "corpus" / f"{id_}.wav"
        path.parent.mkdir(exist_ok=True)
        wave = np.sin(np.arange(8000 + 4000 * i) * 0.05 * (i + 1)) * 0.3 + 0.001 * rng.standard_normal(8000 + 4000 * i)
        soundfile.write(path, wave, 16000)
        made.append(
            Utterance(
                **{
                    "id": id_,
                    "path": path,
                    "corpus": "c",
                    "speaker": "01",
                    "gender": "male",
                    "emotion": "calm",
                },
                **{"intensity": "normal", "statement": "01", "digest": sha256(path)},
            )
        )
    return made
