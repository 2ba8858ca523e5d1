"""Compile the kernels when the project is built or installed."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags


class Kernels(BuildHookInterface):  # type: ignore[misc]
    """Lay the compiled library beside its sources: there an editable installation finds it, and a wheel takes it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say for which machines the wheel is."""
        sys.path.insert(0, str(Path(self.root, "src")))
        from ser_lightning.kernels.compile import compiled

        compiled()
        # The library knows nothing of Python, only of the system and the processor.
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{next(sys_tags()).platform}"
