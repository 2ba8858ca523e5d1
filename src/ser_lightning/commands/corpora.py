"""``corpus=[ravdess,emodb]``: several corpora as one, on any command line."""

from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ser_lightning.build import config_folder
from ser_lightning.errors import InputError, nearest

POOLED = "pooled"
MULTIRUN = ("-m", "--multirun")


def offer_pools(words: Sequence[str], *, config_name: str) -> list[str]:
    """Return a command line on which every list of corpora is one option of the group ``corpus``, and make that option.

    Hydra chooses one option of a group. ``corpus=[ravdess,emodb]`` becomes ``corpus=ravdess+emodb``, an option whose
    defaults are ``pooled`` and, as its parts, the two. Lists may stand in a sweep, ``corpus=emodb,[ravdess,emodb]``. Of
    a sweep over corpora the identity of each run names the corpus, unless ``run_id`` is given.

    Args:
        words: the command line without the program
        config_name: the primary config

    Raises:
        InputError: a list names an unknown corpus, or one twice

    """
    offered = []
    swept = False
    for word in words:
        given = _parsed(word)
        if given is None or (given.type, given.key_or_group, given.package) != (OverrideType.CHANGE, "corpus", None):
            offered.append(word)
            continue
        value = given.value()
        choices = value.list if isinstance(value, ChoiceSweep) else [value]
        swept |= len(choices) > 1
        lists = any(isinstance(choice, list) for choice in choices)
        names = (_pool(choice) if isinstance(choice, list) else str(choice) for choice in choices)
        offered.append(f"corpus={','.join(names)}" if lists else word)
    if swept and set(MULTIRUN) & set(words) and not any(word.startswith("run_id=") for word in words):
        offered += _identity(offered, config_name)
    return offered


def _parsed(word: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:  # an option of the command, or a mistake that Hydra will tell
        return None


def _pool(choices: Sequence[Any]) -> str:
    """Make the option of a list of corpora and return its name."""
    names = [str(choice) for choice in choices]
    known = sorted(path.stem for path in (config_folder() / "corpus").glob("*.yaml") if path.stem != POOLED)
    for name in names:
        if name not in known:
            expected = f"no such option; expected one of {', '.join(known)}{nearest(name, known)}"
            raise InputError(f"corpus={name} in corpus=[{','.join(names)}]: {expected}")
        if names.count(name) > 1:
            raise InputError(f"corpus=[{','.join(names)}] names {name} twice; expected different corpora")
    if len(names) == 1:
        return names[0]
    parts = [{f"/corpus@parts.{name}": name} for name in names]
    downmix = {name: f"${{corpus.parts.{name}.downmix}}" for name in names}
    option = {"defaults": [POOLED, *parts, "_self_"], "downmix": downmix}
    ConfigStore.instance().store(group="corpus", name="+".join(names), node=option)
    return "+".join(names)


def _identity(words: Sequence[str], config_name: str) -> list[str]:
    """Return the word that puts the corpus before what else names a run."""
    fixed = [word for word in words if (given := _parsed(word)) and not given.is_sweep_override()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        try:
            config: Any = OmegaConf.to_container(compose(config_name, overrides=fixed), resolve=False)
        except (HydraException, OmegaConfBaseException):  # told when the command itself composes
            return []
    run_id = config.get("run_id")
    return [f"run_id='corpus-${{hydra:runtime.choices.corpus}}/{run_id}'"] if run_id else []
