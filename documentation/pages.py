"""Assemble the pages of the site in one folder and adapt their links."""

import json
import os
import re
import shutil
from pathlib import Path

from documentation.api_reference import api_page, undocumented
from documentation.command_reference import command_pages
from documentation.config_reference import config_pages

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?(\))")
# Pages from outside docs/: file -> its page.
OTHERS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/own_project/README.md": "examples/own_project.md",
}


def sources() -> dict[Path, str]:
    """Return file -> page of every written page of the site."""
    pages = {path: path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    pages |= {ROOT / name: page for name, page in OTHERS.items()}
    return pages | {path: f"examples/{path.stem}.md" for path in sorted((ROOT / "examples").glob("*.ipynb"))}


def assemble(folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Write all pages and pictures into a folder.

    Returns:
        the generated pages by section, and the public names, options and keys without documentation

    """
    for source, page in sources().items():
        text = _notebook(source) if source.suffix == ".ipynb" else source.read_text(encoding="utf-8")
        _write(folder / page, _relinked(text, source, page))
    for picture in sorted((ROOT / "docs").rglob("*.png")):
        target = folder / picture.relative_to(ROOT / "docs")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, target)
    shutil.copy(Path(__file__).with_name("site.css"), folder)
    commands, missing = command_pages()
    groups, unexplained = config_pages()
    _write(folder / "api.md", api_page())
    for name, text in commands.items():
        _write(folder / f"{name}.md", text)
    for name, text in groups.items():
        _write(folder / f"conf_{name}.md", text)
    _write(folder / "configuration.md", _configuration_page(groups))
    generated = {
        "Commands": [f"{name}.md" for name in commands],
        "Configuration": [f"conf_{name}.md" for name in groups],
    }
    return generated, [*missing, *unexplained, *undocumented()]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _configuration_page(groups: dict[str, str]) -> str:
    lines = [
        "# Configuration",
        "",
        "Every group has a page with its options and their keys. The values of no group are in",
    ]
    lines += ["[`ser-train`](ser-train.md).", ""]
    for name, text in groups.items():
        options = ", ".join(re.findall(r"^## (`.*`)$", text, re.MULTILINE))
        lines.append(f"- [`{name.replace('hydra_', 'hydra/')}`](conf_{name}.md): {options}")
    return "\n".join(lines) + "\n"


def _relinked(text: str, source: Path, page: str) -> str:
    """Replace the links to files of the repository by links to their pages; other files are named without a link."""
    pages = sources()
    depth = "../" * page.count("/")

    def replace(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups()
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        file = Path(os.path.normpath(source.parent / target))
        readme = file / "README.md"
        if (found := file if file in pages else readme if readme in pages else None) is not None:
            return f"{before}{depth}{pages[found]}{anchor or ''}{after}"
        if file.suffix == ".png" and file.exists():
            return f"{before}{depth}{file.relative_to(ROOT / 'docs').as_posix()}{after}"
        if file.exists() and not before.startswith("!"):
            return f"{before[1:-2]} (`{file.relative_to(ROOT).as_posix()}`)"
        return match[0]  # a generated page, or a broken link that the generator reports

    return LINK.sub(replace, text)


def _notebook(path: Path) -> str:
    """Return the cells of a notebook as Markdown."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    kinds = [cell["cell_type"] for cell in cells]
    parts = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in zip(kinds, texts, strict=True)]
    name = path.relative_to(ROOT).as_posix()
    return "\n\n".join([parts[0], f"The notebook is `{name}`.", *parts[1:]]) + "\n"
