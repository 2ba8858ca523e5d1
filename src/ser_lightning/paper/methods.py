"""The methods paragraph of a paper, generated from the configs and results of the runs of a report."""

from collections.abc import Iterable, Sequence
from typing import Any

from ser_lightning.config_files import flat
from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.paper.bibliography import corpora, has_entry, libraries
from ser_lightning.paper.latex import code, escape
from ser_lightning.report.answer import SHARED_SPEAKERS
from ser_lightning.report.arms import ABSENT, Comparison

# Values that do not belong in a methods paragraph.
SKIPPED = ("_target_", "_partial_", "backend", "fused", "offset_s", "duration_s", "sampling_rate", "manifest", "refit")
MOST_KEYS = 12  # config keys that differ between the arms; more are counted only
# Class of a config -> description; other classes are named.
DESCRIPTIONS = {
    "Spectral162": "zero-crossing rate, chroma, MFCC, RMS and mel power of every frame",
    "Functionals": "statistics over time of zero-crossing rate, chroma, MFCC, RMS and mel power",
    "LogMel": "log-mel spectrograms",
    "LogMelDeltas": "log-mel spectrograms with deltas and delta-deltas",
    "OpenSmile": "functionals of openSMILE",
    "SmartTurn": "hidden states of the encoder Smart Turn v3.2",
    "HuggingFaceEncoder": "hidden states of a pretrained encoder",
    "CNNBiLSTM": "a convolutional network with a bidirectional LSTM",
    "MLP": "a multilayer perceptron",
    "SVM": "a support vector machine",
    "Logistic": "multinomial logistic regression",
    "WaveformCopies": "copies with white noise or another pitch",
    "SpeedCopies": "copies at other speeds",
    "GainCopies": "copies at other levels",
    "NoiseCopies": "copies with white noise",
    "SpecAugment": "SpecAugment",
    "Mixup": "mixup",
}


def methods_paragraph(comparison: Comparison) -> str:
    """Return the methods of the runs of a report as LaTeX, one sentence or more per line."""
    paragraphs = (
        (_data(comparison), _split(comparison), _audio(comparison)),
        (_features(comparison), _augmentation(comparison), _model(comparison), _training(comparison)),
        (
            _selection(comparison),
            _evaluation(comparison),
            _seeds(comparison),
            _arms(comparison),
            _statistics(comparison),
        ),
        (_software(comparison),),
    )
    return "\n\n".join("\n".join(filter(None, sentences)) for sentences in paragraphs) + "\n"


def _data(comparison: Comparison) -> str:
    runs = comparison.runs
    names = [
        (escape(DEFINITIONS[name].title) if name in DEFINITIONS else code(name)) + _cite([name])
        for name in corpora(runs)
    ]
    emotions = ", ".join(map(escape, comparison.emotions))
    utterances = _unique(corpus["utterances"] for corpus in runs.corpus)
    text = (
        f"The recordings are those of {' and '.join(names)} ({utterances} utterances). "
        f"The {len(comparison.emotions)} classes are {emotions}."
    )
    if merge := _config(comparison, "corpus").get("merge"):
        changes = [f"{escape(old)} {'left out' if new is None else f'as {escape(new)}'}" for old, new in merge.items()]
        text += f" Changed labels: {', '.join(changes)}."
    if problems := max(len(corpus["problems"]) for corpus in runs.corpus):
        text += f" {problems} recordings were missing or unusable."
    return text


def _split(comparison: Comparison) -> str:
    runs = comparison.runs
    counts = [
        f"{_unique(run_counts.get(subset, 0) for run_counts in runs.counts)} {title}"
        for subset, title in (("train", "training"), ("val", "validation"), ("test", "test"))
        if any(run_counts.get(subset) for run_counts in runs.counts)
    ]
    values = _settings(comparison, "split")
    folds = f" with {len(comparison.folds)} folds" if comparison.folds else ""
    text = (
        f"The split is {_unique(code(str(choices.get('split'))) for choices in runs.choices)}{folds}"
        f"{f' ({values})' if values else ''}: {', '.join(counts)} utterances."
    )
    shared = {
        bool(finding["found"])
        for audit in runs.audit
        for finding in audit["findings"]
        if finding["name"] == SHARED_SPEAKERS
    }
    if shared == {False}:
        text += " It is speaker-independent: no evaluated speaker is in the training set."
    elif shared:
        text += " It is speaker-dependent: evaluated speakers are in the training set."
    summaries = "; ".join(dict.fromkeys(str(audit["summary"]) for audit in runs.audit))
    return f"{text} Leakage audit: {escape(summaries)}."


def _audio(comparison: Comparison) -> str:
    audio = _config(comparison, "audio")
    if not audio:
        return ""
    text = f"Recordings are resampled to {audio.get('sampling_rate')}\\,Hz"
    if audio.get("vad_mode") is not None:
        text += f" and cut to speech by WebRTC's voice activity detection (aggressiveness {audio['vad_mode']})"
    if audio.get("duration_s") is not None:
        text += f"; {audio['duration_s']}\\,s from {audio.get('offset_s') or 0}\\,s are used"
    return f"{text}."


def _features(comparison: Comparison) -> str:
    text = f"Features: {_described(comparison, 'features')}."
    if (mode := _config(comparison, "data").get("normalize", "none")) != "none":
        text += f" Features are normalized by {code(str(mode))}, which uses unlabeled evaluated clips."
    return text


def _augmentation(comparison: Comparison) -> str:
    augment = _config(comparison, "augment")
    if (
        "augment._target_" not in comparison.varied
        and augment.get("noise_sigma") is None
        and augment.get("pitch_steps") == []
    ):
        return "The training data are not augmented."
    copies = _unique(
        run_counts.get("train_with_copies", run_counts.get("train", 0)) for run_counts in comparison.runs.counts
    )
    text = (
        f"Augmentation of the training data: {_described(comparison, 'augment')}; "
        f"{copies} training examples with the copies."
    )
    if _config(comparison, "data").get("augment_first"):
        text += " The copies were made before the split, so that subsets share recordings."
    return text


def _model(comparison: Comparison) -> str:
    parameters = _unique(map(int, comparison.runs.parameters))
    return f"The model is {_described(comparison, 'model')}, with {parameters} parameters."


def _training(comparison: Comparison) -> str:
    if not any(comparison.runs.epochs):
        return "It is fitted once to the training utterances."
    trainer, data, loss = (_config(comparison, name) for name in ("trainer", "data", "loss"))
    text = (
        f"It is trained for {_unique(comparison.runs.epochs)} epochs by {_described(comparison, 'optim')}, "
        f"with batches of {data.get('batch_size')} clips and cross-entropy loss"
    )
    if loss.get("class_weights"):
        text += " weighted inversely to class frequency"
    if loss.get("label_smoothing"):
        text += f" with label smoothing {loss['label_smoothing']}"
    if data.get("teacher") and data["teacher_share"]:
        text += f"; {data['teacher_share']} of each target are probabilities of another model (distillation)"
    if clip := trainer.get("gradient_clip_val"):
        text += f"; gradients are clipped to a norm of {clip}"
    if data.get("balance", "none") != "none":
        text += "; every class is drawn equally often"
    schedule = "; the learning rate is constant"
    if _config(comparison, "scheduler"):
        schedule = f"; learning rate schedule: {_described(comparison, 'scheduler')}"
    return f"{text}{schedule}."


def _selection(comparison: Comparison) -> str:
    config = comparison.runs.config.iloc[0]
    ensemble = config.get("ensemble", 1)
    text = f"The probabilities of {ensemble} networks are averaged. " if ensemble > 1 else ""
    if not any(comparison.runs.epochs):
        return text + "Hyperparameters are chosen by inner validation within the training set."
    if _config(comparison, "split").get("refit"):
        return (
            text
            + "The validation utterances choose the epoch; the model is then trained again on training and validation."
        )
    if set(comparison.runs.checkpoint) == {"last"}:
        return text + "The weights after the last epoch are tested; validation selects nothing."
    goal = "lowest" if config.get("mode") == "min" else "highest"
    return text + f"The epoch with the {goal} {code(str(config.get('monitor')))} is tested."


def _evaluation(comparison: Comparison) -> str:
    text = ""
    if _config(comparison, "evaluation").get("training_mode"):
        text = "As in the study that is reproduced, clips are evaluated in training mode: dropout stays active."
    if _config(comparison, "data").get("eval_copies"):
        text += " Probabilities are averaged over each evaluated clip and its augmented copies."
    return text.strip()


def _seeds(comparison: Comparison) -> str:
    seeds = _unique(_ranges(comparison.runs_of(arm).seed) for arm in comparison.arms)
    return f"{'Each arm' if len(comparison.arms) > 1 else 'The experiment'} is run with seed {seeds}."


def _ranges(seeds: Iterable[int]) -> str:
    """Return seeds as text.

    >>> _ranges([7, 0, 1, 2, 4])
    '0 to 2, 4, 7'

    """
    parts: list[list[int]] = []
    for seed in sorted(set(map(int, seeds))):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts)


def _arms(comparison: Comparison) -> str:
    if len(comparison.arms) == 1:
        return ""
    differences = []
    for key, values in list(comparison.varied.items())[:MOST_KEYS]:
        shorten = (lambda text: text.rpartition(".")[2]) if key.endswith("_target_") else str
        by_arm = [
            f"{escape(arm)}: {escape(shorten(_short(value)))}" for arm, value in values.items() if value != ABSENT
        ]
        differences.append(f"{code(key)} ({', '.join(by_arm)})")
    left = len(comparison.varied) - MOST_KEYS
    more = f" and {left} more keys" if left > 0 else ""
    return f"The arms of {code(comparison.arm)} differ in {'; '.join(differences)}{more}, and in nothing else."


def _statistics(comparison: Comparison) -> str:
    if len(comparison.arms) == 1:
        return ""
    unit = "seed and fold" if comparison.folds else "seed"
    holm = " with Holm's adjustment over the arms" if len(comparison.arms) > 2 else ""
    return (
        f"Differences from {escape(comparison.baseline)} are paired by {unit} and tested by Student's $t$-test, "
        f"two-sided at 5\\,\\%{holm}; intervals over speakers are a studentized bootstrap."
    )


def _software(comparison: Comparison) -> str:
    versions = comparison.runs.versions.iloc[0]
    cited = libraries(comparison.runs)
    names = ", ".join(escape(f"{name} {versions.get(name, '')}".strip()) + _cite([name]) for name in cited)
    commits = _unique(str(git.get("commit") or "unknown")[:12] for git in comparison.runs.git)
    return (
        f"All runs were made with ser\\_lightning {escape(str(versions.get('ser-lightning', '')))} (commit {commits}), "
        f"{names}."
    )


def _described(comparison: Comparison, section: str) -> str:
    """Return the description of the class of a section, followed by its values."""
    if f"{section}._target_" in comparison.varied:
        return f"by arm (key {code(section)})"
    name = str(_config(comparison, section).get("_target_", "nothing")).rpartition(".")[2]
    values = _settings(comparison, section)
    return DESCRIPTIONS.get(name, code(name)) + (f" ({values})" if values else "")


def _settings(comparison: Comparison, section: str) -> str:
    values = []
    for key, value in flat(_config(comparison, section)):
        if key.rpartition(".")[2] in SKIPPED or f"{section}.{key}" in comparison.nuisance:
            continue
        text = "by arm" if f"{section}.{key}" in comparison.varied else escape(_short(value))
        values.append(f"{code(key)} {text}")
    return ", ".join(values)


def _config(comparison: Comparison, section: str) -> dict[str, Any]:
    values = comparison.runs.config.iloc[0].get(section)
    return values if isinstance(values, dict) else {}


def _short(value: Any) -> str:
    text = {True: "true", False: "false", None: "none"}.get(value) if isinstance(value, bool | None) else None
    return text or str(value).replace('"', "").replace("'", "")


def _cite(keys: Sequence[str]) -> str:
    known = [key for key in keys if has_entry(key)]
    return f"~\\cite{{{','.join(known)}}}" if known else ""


def _unique(values: Iterable[Any]) -> str:
    """Return the different values, or their range if they are more than three numbers.

    >>> _unique([96, 98, 120, 96, 114]), _unique([864, 864]), _unique(["a", "b"])
    ('96 to 120', '864', 'a / b')

    """
    distinct = list(dict.fromkeys(values))
    if len(distinct) > 3 and all(isinstance(value, int) for value in distinct):
        return f"{min(distinct)} to {max(distinct)}"
    return " / ".join(map(str, distinct))
