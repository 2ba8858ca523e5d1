"""Build hook that compiles the native kernels when the project is built or installed."""

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags


class Kernels(BuildHookInterface):  # type: ignore[misc]
    """Put the compiled library next to its sources, for editable installations, and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the library and tag the wheel with the platform.

        Without a compiler, or if ``SER_LIGHTNING_PURE`` is set, the wheel is pure Python and runs everywhere.
        """
        if os.environ.get("SER_LIGHTNING_PURE"):
            return
        sys.path.insert(0, str(Path(self.root, "src")))
        from ser_lightning.errors import InputError
        from ser_lightning.kernels.compile import compiled

        try:
            library = compiled()
        except InputError as error:
            self.app.display_warning(f"{error}. Built without: librosa and torchaudio compute instead, more slowly.")
            return
        build_data["artifacts"].append(library.relative_to(self.root).as_posix())  # git ignores it
        # The library does not depend on the Python version, only on the system and processor.
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{next(sys_tags()).platform}"
