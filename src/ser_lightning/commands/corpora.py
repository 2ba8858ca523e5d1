"""The config of a corpus, or of several as one, by name."""

from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from ser_lightning.build import config_folder
from ser_lightning.errors import InputError, nearest


def pooled_config(names: Sequence[str], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the resolved config of a corpus; of several names, that of the pool of them.

    Args:
        names: options of the group ``corpus/parts``
        overrides: of keys of the corpus, such as ``corpus.root=/data/emodb``

    Raises:
        InputError: an unknown name, or one that is given twice

    """
    known = sorted(path.stem for path in (config_folder() / "corpus" / "parts").glob("*.yaml"))
    for name in names:
        if name not in known:
            raise InputError(f"there is no corpus {name!r}; expected some of {', '.join(known)}{nearest(name, known)}")
        if names.count(name) > 1:
            raise InputError(f"the corpus {name} is given twice; expected different corpora")
    if not names:
        raise InputError(f"no corpus is given; expected some of {', '.join(known)}")
    words = [f"corpus={names[0]}"] if len(names) == 1 else ["corpus=pooled", f"corpus/parts=[{','.join(names)}]"]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("train", overrides=["run_id=none", *words, *overrides])
        values: dict[str, Any] = OmegaConf.to_container(config.corpus, resolve=True)  # type: ignore[assignment]
    return values
