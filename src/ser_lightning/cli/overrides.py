"""Parse and quote the overrides of a Hydra command line, and keep paths and names as the text that was typed."""

import re
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

# Keys of paths and names. Hydra would parse name=2026_11_27 as the number 20261127 and output_root=1e5 as 100000.0.
TEXT_KEYS = re.compile(
    r"name|run_id|output_root|output|data\.feature_cache|split\.path|corpus(\.parts\.[^.]+)?\.(root|path|name)"
)


def parse(words: Iterable[str]) -> list[Override]:
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


def quote(text: str) -> str:
    r"""Quote a text so that Hydra parses it as exactly this text.

    >>> quote("it's")
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
    for word, found in ((word, parse([word])) for word in words):
        if not found or not TEXT_KEYS.fullmatch(found[0].key_or_group):
            quoted.append(word)
            continue
        (override,) = found
        value, text = override.value(), typed_text(override)
        if isinstance(value, ChoiceSweep):
            texts = text.split(",")
            if value.simple_form and len(texts) == len(value.list):
                text = ",".join(
                    t if isinstance(v, str) or hasattr(v, "text") else quote(t.strip())
                    for t, v in zip(texts, value.list, strict=True)
                )
        elif not isinstance(value, str) and not override.is_sweep_override():
            text = quote(text)
        quoted.append(f"{override.get_key_element()}={text}")
    return quoted


def restore_typed_text(config: DictConfig, words: Iterable[str]) -> None:
    """Set the paths and names in a config to the text that was typed.

    Args:
        config: the config composed by Hydra
        words: the overrides it was composed with

    """
    for override in parse(words):
        if (
            TEXT_KEYS.fullmatch(override.key_or_group)
            and not override.is_sweep_override()
            and not override.is_delete()
            and not isinstance(override.value(), str)
        ):
            with open_dict(config):
                OmegaConf.update(config, override.key_or_group, typed_text(override))
