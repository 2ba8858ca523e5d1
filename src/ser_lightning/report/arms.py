"""Group runs into the arms of a comparison and check that nothing else differs between them.

The rules, for every key of the resolved configs:

- Keys that the digest of a run excludes, and keys that repeat the seed, the fold or the folder of their own run, may
  differ freely.
- Keys of the arm itself (the config section of its group, or its single key) may differ between arms, and so may keys
  that repeat the value of one of them.
- A group without a config section of its own (``experiment``) is a bundle: any key that differs between arms and is
  equal in all runs of each arm counts as part of it and is listed.
- Any other difference raises an error. The odd run is not dropped automatically, because that would mean selecting
  among results.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from ser_lightning.errors import InputError
from ser_lightning.report.runs import Run
from ser_lightning.results import is_unscientific

ABSENT = "absent"
FOLD = "split.fold"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Runs grouped by arm, verified to differ in nothing but the arm and nuisance keys.

    Args:
        arm: the Hydra group or config key whose values define the arms
        baseline: the arm that the others are compared with
        arms: runs of each arm by ascending seed and fold, the baseline first
        varied: config key -> arm -> value, for every key that differs between the arms
        nuisance: keys that differ between the runs of one arm, such as the seed; the comparison averages over them
        fixed: config key -> value as JSON, for every key that is equal in all runs
        bundle: whether the arm is a group that changes keys in several sections

    """

    arm: str
    baseline: str
    arms: dict[str, tuple[Run, ...]]
    varied: dict[str, dict[str, str]]
    nuisance: tuple[str, ...]
    fixed: dict[str, str]
    bundle: bool

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, arm by arm."""
        return tuple(run for runs in self.arms.values() for run in runs)

    @property
    def folds(self) -> tuple[str, ...]:
        """All folds of the split in natural order; empty if the split has no folds."""
        return tuple(sorted({run.fold for run in self.runs if run.fold}, key=natural))


def compare_arms(runs: Sequence[Run], *, arm: str, baseline: str | None) -> Comparison:
    """Group runs into arms and check that the arms are comparable.

    Args:
        runs: the runs of a sweep, at least one
        arm: a Hydra group, or a dotted config key such as ``model.activation``
        baseline: an arm; ``None`` selects ``"none"`` if that arm exists, otherwise the first arm in natural order

    Raises:
        InputError: the arm or the baseline does not exist, a seed (and fold) occurs twice in one arm, no run of another
            arm shares a seed (and fold) with the baseline, or runs differ in a key that must be equal

    """
    flat = {run.path: _flatten(run) for run in runs}
    group = all(arm in run.choices for run in runs)
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        value = str(run.choices[arm]) if group else _config_value(run, flat[run.path], arm)
        grouped.setdefault(value, []).append(run)
    order = sorted(grouped, key=natural)
    if baseline is None:
        baseline = "none" if "none" in grouped else order[0]
    if baseline not in grouped:
        raise InputError(f"--baseline {baseline} is not an arm of {arm}; the arms are {', '.join(order)}.")
    order.sort(key=lambda value: value != baseline)  # a stable sort keeps the other arms in order
    arms = {value: tuple(sorted(grouped[value], key=_by_pair)) for value in order}
    _check_pairs(arms, arm)
    prefix = arm.replace("/", ".")
    own = sorted({key for keys in flat.values() for key in keys if key == prefix or key.startswith(f"{prefix}.")})
    varied, nuisance = _check_equal(arms, flat, arm=arm, own=own)
    # Checked last, so that a config difference is reported before missing pairs.
    _check_shared(arms, arm)
    fixed = {
        key: value
        for key, value in sorted(flat[arms[baseline][0].path].items())
        if key not in varied and key not in nuisance and not is_unscientific(key)
    }
    return Comparison(
        arm=arm, baseline=baseline, arms=arms, varied=varied, nuisance=nuisance, fixed=fixed, bundle=not own
    )


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Return a suggestion for a mistyped name: the closest valid name, or the list of valid names.

    >>> suggestion("dropuot", ["dropout", "model"])
    "did you mean 'dropout'?"
    >>> suggestion("x", ["dropout", "model"])
    'valid are dropout, model.'

    """
    valid = sorted(valid)
    match = difflib.get_close_matches(name, valid, 1)
    return f"did you mean {match[0]!r}?" if match else f"valid are {', '.join(valid)}."


def _config_value(run: Run, flat: Mapping[str, str], arm: str) -> str:
    if arm in ("seed", FOLD) or is_unscientific(arm):
        raise InputError(f"--arm {arm} cannot be compared: it is incidental to a run. Give a group or another key.")
    if arm in flat and not arm.startswith("result."):
        text = flat[arm]
        value = json.loads(text)
        return value if isinstance(value, str) else text
    if any(key.startswith(f"{arm}.") for key in flat):
        raise InputError(f"--arm {arm} is a section of the config. Give a group or one key, such as {arm}.<key>.")
    # There are too many config keys to list, so a key is suggested only if it is a close match.
    close = difflib.get_close_matches(arm, [*run.choices, *flat], 1)
    hint = f"did you mean {close[0]!r}?" if close else suggestion(arm, run.choices)
    raise InputError(f"--arm {arm} is neither a group nor a config key of run {run.path}; {hint}")


def _by_pair(run: Run) -> tuple[int, Any]:
    return run.seed, natural(run.fold)


def _check_pairs(arms: Mapping[str, Sequence[Run]], arm: str) -> None:
    for value, runs in arms.items():
        for first, second in pairwise(runs):
            if first.pair == second.pair:
                fold = f" and fold {first.fold}" if first.fold else ""
                raise InputError(
                    f"Runs {first.path} and {second.path} both have {arm}={value} and seed {first.seed}{fold}. "
                    "Move one of them out of the folder; the report does not choose between results."
                )


def _check_shared(arms: Mapping[str, Sequence[Run]], arm: str) -> None:
    baseline, *others = arms.items()
    pairs = {run.pair for run in baseline[1]}
    if others and not any(run.pair in pairs for _, runs in others for run in runs):
        what = "seed and fold" if any(run.fold for _, runs in arms.items() for run in runs) else "seed"
        held = "; ".join(f"{value} has {_listed(runs)}" for value, runs in arms.items())
        raise InputError(
            f"The arms of {arm} share no {what}, so nothing can be paired: {held}. Train the same ones in every arm; "
            "to describe one arm alone, give the folder of its runs."
        )


def _listed(runs: Sequence[Run]) -> str:
    names = [f"seed {run.seed}" + (f" fold {run.fold}" if run.fold else "") for run in runs]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _check_equal(
    arms: Mapping[str, Sequence[Run]], flat: Mapping[str, Mapping[str, str]], *, arm: str, own: Sequence[str]
) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """Return the keys that differ between and within arms; raise InputError for any difference that is not allowed."""
    runs = [run for members in arms.values() for run in members]
    varied, nuisance = {}, []
    for key in sorted({key for run in runs for key in flat[run.path]}):
        if is_unscientific(key):
            continue
        values = {run.path: flat[run.path].get(key, ABSENT) for run in runs}
        if len(set(values.values())) == 1:
            continue
        if key == "seed" or _repeats(runs, values, "seed") or _repeats(runs, values, "fold"):
            nuisance.append(key)
            continue
        for members in arms.values():
            _refuse_difference(members, key, values, arm)
        repeats_own = any(all(values[run.path] == flat[run.path].get(mine, ABSENT) for run in runs) for mine in own)
        if key == "result.emotions" or (own and not repeats_own):
            _refuse_difference(runs, key, values, arm)
        varied[key] = {value: values[members[0].path] for value, members in arms.items()}
    return varied, tuple(nuisance)


def _repeats(runs: Sequence[Run], values: Mapping[str, str], what: Literal["seed", "fold"]) -> bool:
    own = {run.path: str(run.seed if what == "seed" else run.fold) for run in runs}
    return all(values[run.path].strip('"') == own[run.path] != "" for run in runs)


def _refuse_difference(runs: Sequence[Run], key: str, values: Mapping[str, str], arm: str) -> None:
    first = runs[0].path
    for run in runs:
        if values[run.path] != values[first]:
            raise InputError(
                f"Runs {first} and {run.path} differ in {key}: {values[first]} and {values[run.path]}. "
                f"Arms of {arm} must be equal in all else: move the runs that do not belong out of the "
                "folder, or compare another arm (--arm <group or key>)."
            )


def _flatten(run: Run) -> dict[str, str]:
    """Flatten the config of a run to key -> JSON text, with the run's own folder replaced by a placeholder."""
    flat: dict[str, str] = {}
    # Callbacks and loggers receive the run's folder, which identifies the run and is not a setting.
    own_folder = re.compile(rf'(?<=")(?:[^"]*/)?{re.escape(run.run_id)}(?=[/"])')

    def visit(key: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for inner, item in value.items():
                visit(f"{key}.{inner}" if key else inner, item)
        else:
            flat[key] = own_folder.sub("<run>", json.dumps(value, sort_keys=True))

    visit("", run.config)
    for name in ("name", "digest", "utterances"):
        visit(f"corpus.{name}", run.corpus[name])
    visit("result.checkpoint", run.checkpoint)
    visit("result.emotions", list(run.emotions))
    if not any("EarlyStopping" in text for text in flat.values()):  # with early stopping, epochs differ between runs
        visit("result.epochs", run.epochs)
    return flat


def natural(name: str) -> tuple[tuple[bool, float, str], ...]:
    """Return a sort key for natural order: p5 before p25, and numbers before words."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", name)
    return tuple((not part[0].isdigit(), float(part) if part[0].isdigit() else 0.0, part) for part in parts)
