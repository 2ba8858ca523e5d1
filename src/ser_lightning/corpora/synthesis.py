"""Synthesis of acted emotions by rule: eSpeak speaks the sentences and Praat changes their prosody.

Both come with praat-parselmouth (GPL-3), an optional dependency of the extra ``synthetic``.

A clip depends only on its stem. Two sources of randomness are controlled for this: eSpeak speaks a sentence differently
at each call in a process, whatever the seed, but is reproducible in a fresh process (:func:`speak`); and Praat's
overlap-add draws random numbers, which :func:`_intone` seeds.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from ser_lightning.corpora.definitions.ravdess import RAVDESS

VERSION = "v1"
"""Version of the rules below; any change that alters a sample must change it."""

RATE = 48_000
"""Samples per second of a clip, as in RAVDESS."""

SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
_VOICES = {
    "male": ("Male1", "Male2", "Male3", "Male4", "Andy", "Gene"),
    "female": ("Female1", "Female2", "Female3", "Female5", "Annie", "Steph"),
}
_VOICED_RANGE = {"male": (55.0, 250.0), "female": (100.0, 450.0)}  # Hz, the range of Praat's pitch detection
_BASE_RATE = 24_000  # Hz; eSpeak's own rate is 22,050
_WORDS_A_MINUTE = 160
_PITCH_ADJUSTMENT = {"male": 1.3, "female": 1.0}  # eSpeak's male voices are at 90 Hz, lower than RAVDESS's


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeakingStyle:
    """A manner of speaking, as differences from plain speech; differences of several sources are added.

    Args:
        pitch: change of the mean F0, octaves
        span: change of the excursions of F0 around its mean, octaves (1 doubles the semitones)
        tempo: change of the tempo, octaves (1 is twice as fast)
        level: change of the RMS, dB
        tilt: change of the slope of the spectrum, dB per octave; positive is brighter
        breath: change of the aspiration noise, dB
        slope: rise of F0 over the utterance, semitones; most of it is near the end
        jitter: irregularity of F0 from one 10 ms frame to the next, semitones
        formants: shift of the formants, octaves

    """

    pitch: float = 0.0
    span: float = 0.0
    tempo: float = 0.0
    level: float = 0.0
    tilt: float = 0.0
    breath: float = 0.0
    slope: float = 0.0
    jitter: float = 0.0
    formants: float = 0.0


# The first of each pair holds published values, which the comment above it quotes. Percentages are converted to
# octaves, and percentages of a range refer to its semitones. The second holds values chosen for this project; most of
# their directions follow the literature. Cahn's scales run from -10 to 10 and have no unit.
RULES = {
    "neutral": (SpeakingStyle(), SpeakingStyle()),
    "calm": (SpeakingStyle(), SpeakingStyle(pitch=-0.1, span=-0.5, tempo=-0.2, level=-3, tilt=-1, breath=4)),
    # Burkhardt & Sendlmeier: F0 mean +50 %, F0 range +100 %, tempo +30 %, spread lips (F1 and F2 +10 %).
    "happy": (
        SpeakingStyle(pitch=0.585, span=1, tempo=0.379, formants=0.138),
        SpeakingStyle(level=3, tilt=0.5, slope=1),
    ),
    # Cahn: F0 range -5, tempo -10, loudness -5, breathiness 10, brilliance -9.
    "sad": (
        SpeakingStyle(),
        SpeakingStyle(pitch=-0.1, span=-0.8, tempo=-0.4, level=-5, tilt=-2.5, breath=12, slope=-2),
    ),
    # Murray & Arnott 1995: F0 mean +10 Hz (of 100), range +9 semitones (of 9), tempo +30 words a minute (of
    # 160), loudness +6 dB.
    "angry": (SpeakingStyle(pitch=0.138, span=1, tempo=0.248, level=6), SpeakingStyle(tilt=2.5, jitter=0.3, slope=-2)),
    # Burkhardt & Sendlmeier: F0 mean +150 %, F0 range +20 %, tempo +30 %, falsetto.
    "fearful": (SpeakingStyle(pitch=1.322, span=0.263, tempo=0.379), SpeakingStyle(tilt=-1, breath=6, jitter=0.8)),
    # Murray & Arnott 1993, a verbal description: very much lower and slower, slightly wider, softer, grumbled, falling.
    "disgust": (
        SpeakingStyle(),
        SpeakingStyle(pitch=-0.3, span=0.2, tempo=-0.5, level=-2, tilt=0.5, jitter=0.5, slope=-4, formants=-0.06),
    ),
    # Cahn: F0 range 8, contour slope 10, tempo 4, loudness 5, brilliance -3. The higher pitch is chosen here.
    "surprised": (SpeakingStyle(), SpeakingStyle(pitch=0.5, span=1, tempo=0.15, level=3, tilt=-0.5, slope=9)),
}
"""Effect of each emotion on the voice, at full strength.

Source: Murray & Arnott 1993 (J. Acoust. Soc. Am. 93) and 1995 (Speech Communication 16); Cahn 1990 (J. of the
American Voice I/O Society 8); Burkhardt & Sendlmeier 2000 (ISCA Workshop on Speech and Emotion);
Schroeder 2001 (Eurospeech), who compares them: the figures are those of his Table 2, from memory, not checked against
the papers themselves.
"""

_DOSE = {"normal": 0.5, "strong": 0.85}  # chosen for this project; at full strength, fear is a caricature
# Chosen for this project: standard deviations between speakers, between the ways in which one speaker acts different
# emotions, and between takes. The second makes unseen speakers a test of generalization; the third keeps the task from
# being a lookup.
_SPREAD = SpeakingStyle(
    pitch=0.09, span=0.25, tempo=0.07, level=1.5, tilt=0.6, breath=3, slope=1.5, jitter=0.1, formants=0.02
)
_AMONG_SPEAKERS, _AMONG_ACTS, _AMONG_TAKES = 1.0, 1.0, 1.0


def speak() -> dict[tuple[str, str], NDArray[np.float32]]:
    """Return both statements spoken plainly by each eSpeak voice.

    The result is reproducible only if nothing was spoken in this process before, so call it in a fresh process.

    Returns:
        The samples at 24 kHz, by voice and statement.

    """
    from parselmouth.praat import call

    bases = {}
    for gender, voice in ((gender, voice) for gender, voices in _VOICES.items() for voice in voices):
        speaker = call("Create SpeechSynthesizer", "English (America)", voice)
        pitch = _PITCH_ADJUSTMENT[gender]
        call(speaker, "Speech output settings", _BASE_RATE, 0.01, pitch, 1.0, _WORDS_A_MINUTE, "IPA")
        for statement, sentence in SENTENCES.items():
            [sound] = call(speaker, "To Sound", sentence, "no")
            bases[voice, statement] = sound.values[0].astype(np.float32)
    return bases


def base_of(stem: str) -> tuple[str, str]:
    """Return the voice and statement, the key in the result of :func:`speak`, from which a clip is made.

    >>> base_of("03-01-01-01-02-01-14")
    ('Female1', '02')

    """
    annotation = RAVDESS.parse(PurePath(stem))
    voices = _VOICES[annotation["gender"]]
    return voices[(int(annotation["speaker"]) - 1) // 2 % len(voices)], annotation["statement"]


def render(stem: str, base: NDArray[np.float32]) -> NDArray[np.int16]:
    """Render a clip from its plain sentence.

    Args:
        stem: name of the clip in the grammar of RAVDESS
        base: the plain sentence that :func:`base_of` names, at 24 kHz

    Returns:
        The 16-bit samples at :data:`RATE`: the sentence, acted as the stem says, between two stretches of near-silence.

    """
    annotation = RAVDESS.parse(PurePath(stem))
    rng = _generator(stem)
    style = _style(annotation, rng)
    intoned = _intone(base, style, _VOICED_RANGE[annotation["gender"]], rng)
    speech = _scale(_color(intoned, style, rng), -27 + style.level)
    before, after = (int(seconds * RATE) for seconds in rng.uniform(0.5, 0.9, size=2))
    clip = np.pad(speech, (before, after))
    clip += _scale(_filter(rng.standard_normal(len(clip)), slope=-3), rng.normal(-68, 2))
    clip /= max(1.0, np.abs(clip).max() / 0.98)
    return np.round(clip * 32767).astype(np.int16)


def _generator(key: str) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(f"ser_lightning {VERSION} {key}".encode()).digest()))


def _style(annotation: Mapping[str, Any], rng: np.random.Generator) -> SpeakingStyle:
    spread = np.array(astuple(_SPREAD))
    speaker, emotion = int(annotation["speaker"]), annotation["emotion"]
    total = _DOSE[annotation["intensity"]] * np.array([astuple(part) for part in RULES[emotion]]).sum(axis=0)
    for generator, scale in (
        (_generator(f"speaker {speaker}"), _AMONG_SPEAKERS),
        (_generator(f"speaker {speaker} {emotion}"), _AMONG_ACTS),
        (rng, _AMONG_TAKES),
    ):
        # Clipped, so that no clip leaves the range of the pitch and duration tiers.
        total += scale * spread * generator.standard_normal(len(spread)).clip(-2, 2)
    return SpeakingStyle(**dict(zip(SpeakingStyle.__slots__, total.tolist(), strict=True)))


def _intone(
    base: NDArray[np.float32], style: SpeakingStyle, voiced: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Change the pitch contour, timing and formants of a sentence by overlap-add (PSOLA), at rate ``RATE``."""
    import parselmouth
    from parselmouth.praat import call

    # Playing at another rate moves the formants. Contour and timing are set afterward and thus are unaffected.
    stretch = 2**style.formants
    sound = parselmouth.Sound(base.astype(np.float64), _BASE_RATE * stretch)
    # Praat's random generator, seeded by the clock by default, draws the jitter and the voiceless stretches. The jitter
    # is uniform because Praat draws normal numbers in pairs, and a new seed does not discard the second of a pair.
    parselmouth.praat.run(f"random_initializeWithSeedUnsafelyButPredictably ({rng.integers(2**31)})")

    manipulation = call(sound, "To Manipulation", 0.01, *(f * stretch for f in voiced))
    contour = call(manipulation, "Extract pitch tier")
    mean = call(contour, "Get mean (points)", 0, 0)
    place = f"(x / {sound.duration})"
    semitones = (
        f"{style.slope} * ({place}^2 - 1/3) + {1.7 * style.jitter} * randomUniform (-1, 1)"
        f" + {rng.normal(0, 0.8)} * sin (2 * pi * ({rng.uniform(1, 2.5)} * {place} + {rng.uniform()}))"
    )
    hertz = f"{mean / stretch * 2**style.pitch} * (self / {mean}) ^ {2**style.span} * 2 ^ (({semitones}) / 12)"
    call(contour, "Formula", f"max (50, min (650, {hertz}))")

    timing = call("Create DurationTier", "timing", 0, sound.duration)
    for part, drawl in zip((0, 1 / 3, 2 / 3, 1), rng.normal(0, 0.08, size=4), strict=True):
        call(timing, "Add point", part * sound.duration, stretch * 2 ** (drawl - style.tempo))

    call([manipulation, contour], "Replace pitch tier")
    call([manipulation, timing], "Replace duration tier")
    spoken = call(manipulation, "Get resynthesis (overlap-add)").values[0]
    return np.asarray(soxr.resample(spoken, _BASE_RATE * stretch, RATE), dtype=np.float64)


def _color(speech: NDArray[np.float64], style: SpeakingStyle, rng: np.random.Generator) -> NDArray[np.float64]:
    """Tilt the spectrum and add breath noise that follows the loudness of the speech."""
    energy = np.cumsum(np.pad(speech**2, RATE // 100))
    loudness = np.sqrt(np.maximum(energy[RATE // 50 :] - energy[: -(RATE // 50)], 0) / (RATE // 50))
    breath = _scale(_filter(rng.standard_normal(len(speech)), slope=3), -30 + style.breath)
    return _filter(speech + loudness * breath, slope=style.tilt)


def _filter(sound: NDArray[np.float64], *, slope: float) -> NDArray[np.float64]:
    """Tilt a spectrum around 1 kHz by ``slope`` dB per octave between 125 Hz and 8 kHz."""
    size = -(-len(sound) // 4096) * 4096  # an FFT length with a large prime factor would be slow
    octaves = np.log2(np.fft.rfftfreq(size, 1 / RATE).clip(125, 8000) / 1000)
    tilted = np.fft.irfft(np.fft.rfft(sound, size) * 10 ** (slope * octaves / 20))
    return np.asarray(tilted[: len(sound)], dtype=np.float64)


def _scale(sound: NDArray[np.float64], decibel: float) -> NDArray[np.float64]:
    """Scale a sound to an RMS level in dB relative to full scale."""
    return sound * float(10 ** (decibel / 20) / np.sqrt(np.mean(sound**2)))
