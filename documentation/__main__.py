"""Build the site into a folder: ``python -m documentation site``.

Broken links, pictures that do not exist, pages that the navigation lacks, and public names, options or keys without
documentation end the build with exit code 1.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from documentation.pages import ROOT, assemble, sources

SETTINGS = Path(__file__).with_name("site.yml")
CONFIG = "mkdocs.yml"  # name that zensical expects
HTML = "html"
REFERENCE = "Reference"
RESOURCE = re.compile(r"""<(?:img|script|link|iframe|source)[^>]*?\s(?:src|href)=["']?([^"'\s>]+)""")


def main(output: str) -> int:
    """Build the site and return the exit code."""
    folder = Path(output).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    generated, problems = assemble(folder / "pages")
    settings = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    _add_reference(settings["nav"], generated)
    problems += missing_pages(settings["nav"])
    (folder / CONFIG).write_text(yaml.safe_dump(_absolute(settings), sort_keys=False), encoding="utf-8")
    words = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(folder / CONFIG)]
    if subprocess.run(words, cwd=ROOT, check=False).returncode:  # noqa: S603 - the words are ours
        problems.append("zensical found the problems above")
    else:
        problems += broken_resources(folder / HTML)
    for problem in problems:
        print(f"documentation: {problem}", file=sys.stderr)
    if not problems:
        print(f"{folder / HTML / 'index.html'}: {len(list((folder / HTML).rglob('*.html')))} pages")
    return int(bool(problems))


def _add_reference(nav: list[dict[str, Any]], generated: dict[str, list[str]]) -> None:
    """Put the generated pages below the entry of the same title in the section Reference."""
    reference = next(entry[REFERENCE] for entry in nav if REFERENCE in entry)
    for entry in reference:
        for title, page in entry.items():
            if title in generated:
                entry[title] = [page, *generated[title]]


def _absolute(settings: dict[str, Any]) -> dict[str, Any]:
    """Make the paths of the Python handler absolute, because the configuration is written to another folder."""
    python = next(plugin["mkdocstrings"] for plugin in settings["plugins"] if "mkdocstrings" in plugin)["handlers"][
        "python"
    ]
    python["paths"] = [str(ROOT / "src")]
    python["options"]["extensions"] = [str(ROOT / name) for name in python["options"]["extensions"]]
    return settings


def missing_pages(nav: list[Any]) -> list[str]:
    """Return a problem for each written page that the navigation does not show."""
    shown = set(_shown(nav))
    return [f"{page} is not in nav of documentation/site.yml" for page in sources().values() if page not in shown]


def _shown(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from _shown(part)


def broken_resources(html: Path) -> list[str]:
    """Return a problem for each picture, script or style sheet of a page that is missing or of another host."""
    problems = []
    for page in sorted(html.rglob("*.html")):
        for target in RESOURCE.findall(page.read_text(encoding="utf-8")):
            if target.startswith(("data:", "#")):
                continue
            if "://" in target or target.startswith("//"):
                problems.append(f"{page.relative_to(html)} loads {target} from another host")
            elif page.name != "404.html" and not (page.parent / target.split("#")[0].split("?")[0]).exists():
                problems.append(f"{page.relative_to(html)} needs {target}, which does not exist")
    return problems


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
