"""Group runs into the arms of a comparison and check that nothing else differs between them.

The rules, for every key of the resolved configs:

- Keys that the digest of a run excludes, and keys that repeat the seed, the fold or the folder of their own run, may
  differ freely.
- Keys of the arm itself (the config section of its group, or its single key) may differ between arms, and so may keys
  that repeat the value of one of them.
- A group without a config section of its own (``experiment``) is a bundle: any key that differs between arms and is
  equal in all runs of each arm counts as part of it and is listed.
- Runs that normalize by the clips of the test speakers have an arm of their own, which its name says.
- Any other difference raises an error. The odd run is not dropped automatically, because that would mean selecting
  among results.
"""

import difflib
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from ser_lightning.config_files import flat
from ser_lightning.errors import InputError
from ser_lightning.report.runs import MEASURES
from ser_lightning.results import LATER, is_unscientific

ABSENT = "absent"
FOLD = "split.fold"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs grouped by arm, verified to differ in nothing but the arm and nuisance keys.

    Args:
        arm: the Hydra group or config key whose values define the arms
        baseline: the arm that the others are compared with
        arms: names of the arms, the baseline first
        runs: the runs, with the columns of :class:`ser_lightning.report.runs.Results` and ``arm``; arm by arm, each by
            ascending seed and fold
        predictions: the predictions of these runs, with ``arm``, ``seed``, ``fold`` and ``correct``
        varied: config key -> arm -> value, for every key that differs between the arms
        nuisance: keys that differ between the runs of one arm, such as the seed; the comparison averages over them
        fixed: config key -> value as JSON, for every key that is equal in all runs
        bundle: whether the arm is a group that changes keys in several sections

    """

    arm: str
    baseline: str
    arms: list[str]
    runs: pd.DataFrame
    predictions: pd.DataFrame
    varied: dict[str, dict[str, str]]
    nuisance: list[str]
    fixed: dict[str, str]
    bundle: bool

    @property
    def folds(self) -> list[str]:
        """All folds of the split in natural order; empty if the split has no folds."""
        return sorted(set(self.runs.fold) - {""}, key=natural)

    @property
    def emotions(self) -> tuple[str, ...]:
        """Emotions in the order of the classes."""
        return tuple(self.runs.emotions.iloc[0])

    @property
    def measures(self) -> list[str]:
        """Columns of the metrics that at least one run has."""
        return [key for key in MEASURES if self.runs[key].notna().any()]

    def runs_of(self, arm: str) -> pd.DataFrame:
        """Return the runs of an arm."""
        return self.runs[self.runs.arm == arm]

    def clips(self, subset: str, arm: str | None = None) -> pd.DataFrame:
        """Return the predictions of a subset, of one arm or of all."""
        predictions = self.predictions
        chosen = predictions.subset == subset
        return predictions[chosen if arm is None else chosen & (predictions.arm == arm)]


def compare_arms(runs: pd.DataFrame, predictions: pd.DataFrame, *, arm: str, baseline: str | None = None) -> Comparison:
    """Group runs into arms and check that the arms are comparable.

    Args:
        runs: the runs of a sweep, at least one, see :class:`ser_lightning.report.runs.Results`
        predictions: their predictions
        arm: a Hydra group, or a dotted config key such as ``model.activation``
        baseline: an arm; ``None`` selects ``"none"`` if that arm exists, otherwise the first arm in natural order

    Raises:
        InputError: the arm or the baseline does not exist, a seed (and fold) occurs twice in one arm, no run of another
            arm shares a seed (and fold) with the baseline, or runs differ in a key that must be equal

    """
    settings = pd.DataFrame([_settings(run) for run in runs.itertuples()], index=runs.index).fillna(ABSENT)
    if all(arm in choices for choices in runs.choices):
        values = [str(choices[arm]) for choices in runs.choices]
    else:
        values = [_config_value(run, settings.loc[run.path], arm) for run in runs.itertuples()]
    values = [_with_notes(value, run) for value, run in zip(values, runs.itertuples(), strict=True)]
    order = sorted(set(values), key=natural)
    if baseline is None:
        baseline = "none" if "none" in order else order[0]
    if baseline not in order:
        raise InputError(f"--baseline {baseline} is not an arm of {arm}; the arms are {', '.join(order)}.")
    order.sort(key=lambda value: value != baseline)  # a stable sort keeps the other arms in order
    places = {value: place for place, value in enumerate(order)}
    runs = runs.assign(arm=values)
    runs = runs.loc[sorted(runs.index, key=lambda path: _place(runs.loc[path], places))]
    settings = settings.loc[runs.index]
    _check_pairs(runs, arm)
    prefix = arm.replace("/", ".")
    arm_keys = [key for key in settings if key == prefix or key.startswith(f"{prefix}.")]
    varied, nuisance = _check_settings(runs, settings, arm=arm, arm_keys=arm_keys)
    # Checked last, so that a config difference is reported before missing pairs.
    _check_shared(runs, arm)
    fixed = {
        key: settings[key].iloc[0]
        for key in sorted(settings)
        if key not in varied and key not in nuisance and not is_unscientific(key)
    }
    clips = predictions.merge(runs[["arm", "seed", "fold"]], left_on="run", right_index=True)
    clips["correct"] = clips.target == clips.prediction
    return Comparison(
        arm=arm,
        baseline=baseline,
        arms=order,
        runs=runs,
        predictions=clips,
        varied=varied,
        nuisance=nuisance,
        fixed=fixed,
        bundle=not arm_keys,
    )


def _with_notes(arm: str, run: Any) -> str:
    """Return the name of an arm, with a note on unlabeled clips of the test speakers that were used, or an ensemble."""
    notes = []
    if run.normalization.get("transductive"):
        notes.append(f"transductive, {run.normalization.get('mode')}")
    if run.config.get("ensemble", 1) > 1:
        notes.append(f"ensemble of {run.config['ensemble']}")
    return f"{arm} ({'; '.join(notes)})" if notes else arm


def _place(run: Any, places: dict[str, int]) -> tuple[Any, ...]:
    return places[run.arm], run.seed, natural(run.fold), run.path


def _config_value(run: Any, settings: pd.Series, arm: str) -> str:
    if arm in ("seed", FOLD) or is_unscientific(arm):
        raise InputError(f"--arm {arm} cannot be compared: it is incidental to a run. Give a group or another key.")
    text = settings.get(arm, ABSENT)
    if text != ABSENT and not arm.startswith("result."):
        value = json.loads(text)
        return value if isinstance(value, str) else str(text)
    keys = [key for key in settings.index if settings[key] != ABSENT]
    if any(key.startswith(f"{arm}.") for key in keys):
        raise InputError(f"--arm {arm} is a section of the config. Give a group or one key, such as {arm}.<key>.")
    # There are too many config keys to list, so a key is suggested only if it is a close match.
    close = difflib.get_close_matches(arm, [*run.choices, *keys], 1)
    hint = f"did you mean {close[0]!r}?" if close else f"the groups are {', '.join(sorted(run.choices))}."
    raise InputError(f"--arm {arm} is neither a group nor a config key of run {run.path}; {hint}")


def _check_pairs(runs: pd.DataFrame, arm: str) -> None:
    for first, second in pairwise(runs.itertuples()):
        if (first.arm, first.seed, first.fold) == (second.arm, second.seed, second.fold):
            raise InputError(
                f"Runs {first.path} and {second.path} both have {arm}={first.arm} and {_pair(first)}. "
                "Move one of them out of the folder; the report does not choose between results."
            )


def _pair(run: Any) -> str:
    return f"seed {run.seed}" + (f" and fold {run.fold}" if run.fold else "")


def _check_shared(runs: pd.DataFrame, arm: str) -> None:
    pairs = {
        name: list(zip(members.seed, members.fold, strict=True)) for name, members in runs.groupby("arm", sort=False)
    }
    baseline, *others = pairs.values()
    if others and not any(set(baseline) & set(arm_pairs) for arm_pairs in others):
        what = "seed and fold" if (runs.fold != "").any() else "seed"
        texts = "; ".join(
            f"{name} has {', '.join(map(_pair, members.head(6).itertuples()))}"
            + (f" and {len(members) - 6} more" if len(members) > 6 else "")
            for name, members in runs.groupby("arm", sort=False)
        )
        raise InputError(
            f"The arms of {arm} share no {what}, so nothing can be paired: {texts}. Train the same ones in every arm; "
            "to describe one arm alone, give the folder of its runs."
        )


def _check_settings(
    runs: pd.DataFrame, settings: pd.DataFrame, *, arm: str, arm_keys: list[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the keys that differ between and within arms; raise InputError for any difference that is not allowed."""
    varied, nuisance = {}, []
    for key in sorted(settings):
        values = settings[key]
        if is_unscientific(key) or values.nunique() == 1:
            continue
        if key == "seed" or _repeats(values, runs.seed.astype(str)) or _repeats(values, runs.fold):
            nuisance.append(key)
            continue
        for _, members in values.groupby(runs.arm, sort=False):
            _check_equal(members, arm)
        if key == "result.emotions" or (arm_keys and not any(values.equals(settings[arm_key]) for arm_key in arm_keys)):
            _check_equal(values, arm)
        varied[key] = values.groupby(runs.arm, sort=False).first().to_dict()
    return varied, nuisance


def _repeats(values: pd.Series, repeated: pd.Series) -> bool:
    return bool((repeated != "").all() and (values.str.strip('"') == repeated).all())


def _check_equal(values: pd.Series, arm: str) -> None:
    unequal = values[values != values.iloc[0]]
    if len(unequal):
        raise InputError(
            f"Runs {values.index[0]} and {unequal.index[0]} differ in {values.name}: {values.iloc[0]} and "
            f"{unequal.iloc[0]}. Arms of {arm} must be equal in all else: move the runs that do not belong out of the "
            "folder, or compare another arm (--arm <group or key>)."
        )


def _settings(run: Any) -> dict[str, str]:
    """Return config key -> JSON text of a run, with the run's own folder replaced by a placeholder."""
    values = LATER | dict(flat(run.config))
    values |= {f"corpus.{name}": run.corpus[name] for name in ("name", "digest", "utterances")}
    values |= {"result.checkpoint": run.checkpoint, "result.emotions": list(run.emotions)}
    # Callbacks and loggers receive the run's folder, which identifies the run and is not a setting.
    own_folder = re.compile(rf'(?<=")(?:[^"]*/)?{re.escape(run.run_id)}(?=[/"])')
    texts = {key: own_folder.sub("<run>", json.dumps(value, sort_keys=True)) for key, value in values.items()}
    if not any("EarlyStopping" in text for text in texts.values()):  # with early stopping, epochs differ between runs
        texts["result.epochs"] = str(run.epochs)
    return texts


def natural(name: str) -> tuple[tuple[bool, float, str], ...]:
    """Return a sort key for natural order: p5 before p25, and numbers before words."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", name)
    return tuple((not part[0].isdigit(), float(part) if part[0].isdigit() else 0.0, part) for part in parts)
