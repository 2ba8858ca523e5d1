"""Compile the kernels when the project is built or installed."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags


class Kernels(BuildHookInterface):  # type: ignore[misc]
    """Put the compiled library beside its sources, where an editable installation finds it, and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile and tag the wheel with its platform; without a compiler, build a pure-Python wheel."""
        sys.path.insert(0, str(Path(self.root, "src")))
        from ser_lightning.errors import InputError
        from ser_lightning.kernels.compile import compiled

        try:
            library = compiled()
        except InputError as error:
            self.app.display_warning(f"{error}. Built without: librosa and torchaudio compute instead, more slowly.")
            return
        build_data["artifacts"].append(library.relative_to(self.root).as_posix())  # it is not in git
        # The library knows nothing of Python, only of the system and the processor.
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{next(sys_tags()).platform}"
