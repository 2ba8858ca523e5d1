"""Lists of names that follow no rule, stored as data files."""

from pathlib import Path


def listed(name: str) -> list[str]:
    """Return the words of ``names/<name>.txt``, without its ``#`` lines, which document the provenance.

    >>> listed("emodb")[:2]
    ['03a01Fa', '03a01Nc']
    """
    text = (Path(__file__).parent / "names" / f"{name}.txt").read_text(encoding="utf-8")
    return [word for line in text.splitlines() if not line.startswith("#") for word in line.split()]
