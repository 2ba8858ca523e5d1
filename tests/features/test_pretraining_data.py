"""Training data of encoders, by their names."""

import pytest

from ser_lightning.features.encoders.pretraining_data import UNKNOWN, pretraining_data


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("iic/emotion2vec_plus_large", "ravdess"),
        ("emotion2vec/emotion2vec_plus_seed", "emodb"),
        ("audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim", "msp_podcast"),
        ("superb/hubert-large-superb-er", "iemocap"),
        ("ehcalabres/wav2vec2-lg-xlsr-en-speech-emotion-recognition", "ravdess"),
        ("somebody/WavLM_CREMA-D", "crema_d"),
        ("somebody/hubert-jl-corpus", "jl_corpus"),
    ],
)
def test_fine_tuned_encoders_have_seen_labels(name, labels):
    assert labels in pretraining_data(name).labels


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("openai/whisper-base", "680,000"),
        ("openai/whisper-large-v3", "1 million"),
        ("facebook/wav2vec2-base", "LibriSpeech"),
        ("facebook/wav2vec2-xls-r-300m", "128 languages"),
        ("facebook/hubert-large-ll60k", "Libri-Light"),
        ("microsoft/wavlm-base", "960 hours"),
        ("microsoft/wavlm-base-plus", "94,000"),
        ("facebook/data2vec-audio-base", "LibriSpeech"),
        ("iic/emotion2vec_base", "without labels"),
    ],
)
def test_pretrained_encoders_have_seen_no_labels(name, words):
    data = pretraining_data(name)
    assert data.labels == ()
    assert words in data.description


@pytest.mark.parametrize("name", ["somebody/wavlm-base", "ravdess/encoder", "model", "me/attested", "me/nemotron"])
def test_other_encoders_are_unknown(name):
    data = pretraining_data(name)
    assert data.labels is None
    assert data.description == UNKNOWN
