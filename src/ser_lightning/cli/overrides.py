"""Parse and quote the overrides of a Hydra command line, and keep paths and names as the text that was typed."""

import re
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

# Keys of paths and names. Hydra would parse name=2026_11_27 as the number 20261127 and output_root=1e5 as 100000.0.
TEXT_KEYS = re.compile(
    r"name|run_id|folder|output_root|(labels\.)?output|data_card|init_from|data\.(feature_cache|teacher)|split\.(path|manifest)"
    r"|corpus(\.parts\.[^.]+)?\.(root|path|name)|(callbacks|logger)\.[^.]+\.(dirpath|save_dir|name)"
)
NEVER_NULL = ("name", "run_id", "output_root")  # name=null is the name "null"; every other key may be null


def is_text(key: str, value: object) -> bool:
    """Return whether a key takes a path or a name as typed, given the value that Hydra parsed.

    >>> is_text("corpus.root", 100000.0), is_text("corpus.root", None), is_text("name", None), is_text("seed", 1)
    (True, False, True, False)
    """
    return TEXT_KEYS.fullmatch(key) is not None and (value is not None or key in NEVER_NULL)


def parse_overrides(words: Iterable[str]) -> list[Override]:
    """Parse overrides and skip words that are not overrides, such as command options."""
    parser = OverridesParser.create()
    overrides = []
    for word in words:
        try:
            overrides.append(parser.parse_override(word))
        except HydraException:
            continue
    return overrides


def typed_overrides(overrides: ListConfig | list[str]) -> list[str]:
    """Return the words of Hydra's ``overrides.task`` as typed, with unresolved interpolations."""
    return OmegaConf.to_container(overrides, resolve=False)  # type: ignore[return-value]


def quote_text(text: str) -> str:
    r"""Quote a text so that Hydra parses it as exactly this text.

    >>> quote_text("it's")
    "'it\\'s'"
    """
    # A backslash escapes only a quote that follows it, or other backslashes before a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda match: 2 * match[1] + (f"\\{match[2]}" if match[2] else ""), text)
    return f"'{escaped}'"


def typed_text(override: Override) -> str:
    """Return the value of an override as typed."""
    return (override.input_line or "").partition("=")[2].strip()


def quote_text_values(words: Sequence[str]) -> list[str]:
    """Quote the values of paths and names that Hydra would not parse as text; in a simple sweep, each value alone."""
    quoted = []
    for word, parsed in ((word, parse_overrides([word])) for word in words):
        if not parsed or not TEXT_KEYS.fullmatch(parsed[0].key_or_group):
            quoted.append(word)
            continue
        (override,) = parsed
        key, value, text = override.key_or_group, override.value(), typed_text(override)
        if isinstance(value, ChoiceSweep):
            texts = text.split(",")
            if value.simple_form and len(texts) == len(value.list):
                text = ",".join(_quote_value(key, v, t) for v, t in zip(value.list, texts, strict=True))
        elif not override.is_sweep_override():
            text = _quote_value(key, value, text)
        quoted.append(f"{override.get_key_element()}={text}")
    return quoted


def _quote_value(key: str, value: object, text: str) -> str:
    """Quote the text of one value if its key takes text and Hydra parsed something else."""
    return text if isinstance(value, str | QuotedString) or not is_text(key, value) else quote_text(text.strip())


def restore_typed_text(config: DictConfig, words: Iterable[str]) -> None:
    """Set the paths and names in a config to the text that was typed.

    Args:
        config: the config composed by Hydra
        words: the overrides it was composed with

    """
    for override in parse_overrides(words):
        if override.is_sweep_override() or override.is_delete():
            continue
        value = override.value()
        if not isinstance(value, str) and is_text(override.key_or_group, value):
            with open_dict(config):
                OmegaConf.update(config, override.key_or_group, typed_text(override))
