"""``ser-evaluate --robustness``: evaluate a run under conditions of recording."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ser_lightning.errors import InputError, printable
from ser_lightning.output import expand_user

if TYPE_CHECKING:
    from ser_lightning.reevaluate import FinishedRun

PREFIX = "robustness."


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``ser-evaluate`` that belong to ``--robustness``.

    Args:
        settings: settings of the conditions, each ``robustness.<key>=<value>``
        only: conditions to measure; empty for all
        noise: folder of noise recordings
        rooms: folder of impulse responses
        again: compute also what ``robustness.json`` already has

    """

    settings: Sequence[str]
    only: Sequence[str]
    noise: str | None
    rooms: str | None
    again: bool

    def check(self, *, robustness: bool, corpora: Sequence[str]) -> None:
        """Check that the options fit the others.

        Raises:
            InputError: they do not

        """
        if robustness and corpora:
            raise InputError("--robustness evaluates the run's own test clips; leave out --corpus")
        if not robustness and (self.only or self.noise or self.rooms or self.again):
            raise InputError("--condition, --noise, --rooms and --again belong to --robustness; give it too")


def divide(options: Options, settings: Sequence[str]) -> tuple[Options, list[str]]:
    """Return the options with the settings of the conditions, and the other settings, which are of the run."""
    condition_settings = [setting for setting in settings if setting.lstrip("+~ ").startswith(PREFIX)]
    return replace(options, settings=condition_settings), [
        setting for setting in settings if setting not in condition_settings
    ]


def evaluate_robustness(run: "FinishedRun", options: Options, *, quiet: bool) -> dict[str, Any]:
    """Evaluate a run under conditions and return the content of ``robustness.json``.

    Args:
        run: the run
        options: the options
        quiet: print nothing

    Raises:
        InputError: a setting changes the run, or a condition rejects a value

    """
    from ser_lightning.cli.settings import change_config
    from ser_lightning.measure_robustness import default_section, make_plan, measure_robustness
    from ser_lightning.results import science_digest

    if science_digest(run.config) != run.result["digest"]:
        raise InputError(
            f"{printable(run.folder)} was trained with another configuration than --set gives; --robustness evaluates a"
            " run as it was trained: set only corpus.root, data.feature_cache, data.feature_workers and robustness.*"
        )
    section = default_section()
    for condition, folder in (("noise", options.noise), ("recorded_room", options.rooms)):
        if folder is not None:
            section["conditions"][condition]["folder"] = expand_user(folder)
    changed = change_config({"robustness": section}, options.settings, choices=())["robustness"]
    return measure_robustness(
        run.config,
        folder=run.folder,
        path=run.path,
        result=run.result,
        plan=make_plan(changed, only=options.only, trust=run.config["trust"]),
        again=options.again,
        report=(lambda _: None) if quiet else functools.partial(print, flush=True),
    )
