"""Training data of known speech encoders: a figure for unseen speakers means little if the encoder has seen them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

UNKNOWN = "unknown to this project; see the model card of the encoder"
# Corpora of ser_lightning that EmoBox contains.
EMOBOX = (
    *("ased", "crema_d", "emodb", "emovo", "iemocap", "jl_corpus", "meld", "msp_podcast", "ravdess", "savee", "tess"),
    *("turev_db", "urdu"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainingData:
    """Training data of an encoder.

    Args:
        description: the training data in words
        labels: corpora whose emotion labels the encoder has seen, by their names in this project; None if unknown

    """

    description: str
    labels: Sequence[str] | None


# Pattern of the name on the Hugging Face hub, in lower case -> training data; the first match counts.
KNOWN: dict[str, PretrainingData] = {
    r"emotion2vec_plus": PretrainingData(
        description="emotion labels of EmoBox's corpora and pseudo-labels of 4,788 hours or more (emotion2vec+)",
        labels=EMOBOX,
    ),
    r"emotion2vec": PretrainingData(
        description="262 hours of emotional speech without labels: IEMOCAP, MELD, MEAD, CMU-MOSEI and MSP-Podcast",
        labels=(),
    ),
    r"audeering/wav2vec2-large-robust.*-emotion": PretrainingData(
        description="wav2vec2-large-robust, and arousal, dominance and valence of MSP-Podcast", labels=("msp_podcast",)
    ),
    r"superb/.*-er$": PretrainingData(
        description="the encoder in its name, and emotion labels of IEMOCAP", labels=("iemocap",)
    ),
    r"ehcalabres/wav2vec2-lg-xlsr-en-speech-emotion": PretrainingData(
        description="XLSR-53, English transcripts of Common Voice, and emotion labels of RAVDESS", labels=("ravdess",)
    ),
    r"areejb/wav2vec2-xlsr-english-speech-emotion": PretrainingData(
        description="XLSR-53, English transcripts of Common Voice, and emotion labels of RAVDESS", labels=("ravdess",)
    ),
    r"^openai/whisper-large-v3": PretrainingData(
        description="1 million hours of speech with transcripts and 4 million hours with transcripts of Whisper",
        labels=(),
    ),
    r"^openai/whisper-": PretrainingData(description="680,000 hours of speech with transcripts", labels=()),
    r"^facebook/wav2vec2-xls-r-": PretrainingData(
        description=(
            "436,000 hours of speech in 128 languages without labels: VoxPopuli, MLS, Common Voice, VoxLingua107, BABEL"
        ),
        labels=(),
    ),
    r"^facebook/wav2vec2-large-xlsr-53$": PretrainingData(
        description="56,000 hours of speech in 53 languages without labels: MLS, Common Voice, BABEL", labels=()
    ),
    r"^facebook/wav2vec2-large-robust$": PretrainingData(
        description="Libri-Light, Common Voice, Switchboard and Fisher, without labels", labels=()
    ),
    r"^facebook/wav2vec2-(base|large)-960h$": PretrainingData(
        description="960 hours of LibriSpeech, without labels and then with transcripts", labels=()
    ),
    r"^facebook/wav2vec2-(base|large)$": PretrainingData(
        description="960 hours of LibriSpeech without labels", labels=()
    ),
    r"^facebook/wav2vec2-large-lv60$": PretrainingData(
        description="60,000 hours of Libri-Light without labels", labels=()
    ),
    r"^facebook/hubert-base-ls960$": PretrainingData(description="960 hours of LibriSpeech without labels", labels=()),
    r"^facebook/hubert-(large|xlarge)-ll60k$": PretrainingData(
        description="60,000 hours of Libri-Light without labels", labels=()
    ),
    r"^microsoft/wavlm-base$": PretrainingData(description="960 hours of LibriSpeech without labels", labels=()),
    r"^microsoft/wavlm-(base-plus|large)$": PretrainingData(
        description="94,000 hours of Libri-Light, GigaSpeech and VoxPopuli without labels", labels=()
    ),
    r"^facebook/data2vec-audio-base$": PretrainingData(
        description="960 hours of LibriSpeech without labels", labels=()
    ),
    r"^facebook/data2vec-audio-large$": PretrainingData(
        description="speech without labels; its model card names LibriSpeech, its paper Libri-Light", labels=()
    ),
}
SMART_TURN = PretrainingData(
    description="680,000 hours of speech with transcripts (Whisper) and conversations with marked ends of turns",
    labels=(),
)
# Part of the name of a fine-tuned model that says which corpus it was trained on -> that corpus.
CORPORA = {
    **{name: name for name in ("ased", "baved", "emodb", "emovo", "iemocap", "meld", "nemo", "ravdess", "savee")},
    **{"tess": "tess", "emotale": "emotale", "crema": "crema_d", "jl-corpus": "jl_corpus", "msp": "msp_podcast"},
    **{"turev": "turev_db"},
}


def pretraining_data(name: str) -> PretrainingData:
    """Return what an encoder was trained on, by its name on the Hugging Face hub.

    A name that contains the name of a corpus, such as ``me/wavlm-ravdess``, belongs to an encoder that has seen its
    labels.

    >>> pretraining_data("me/wavlm-ravdess").labels
    ('ravdess',)
    >>> pretraining_data("me/wavlm").labels is None
    True
    """
    lower = name.lower()
    for pattern, data in KNOWN.items():
        if re.search(pattern, lower):
            return data
    last = lower.rpartition("/")[2]
    named = tuple(corpus for word, corpus in CORPORA.items() if re.search(rf"(?<![a-z]){word}(?![a-z])", last))
    if named:
        return PretrainingData(description=f"{UNKNOWN}; its name says {', '.join(named)}", labels=named)
    return PretrainingData(description=UNKNOWN, labels=None)
