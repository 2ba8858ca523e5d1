"""Settings of memory allocation and garbage collection."""

import subprocess
import sys

CODE = """
import gc
from ser_lightning.memory import permanent_imports

for _ in range(2):
    with permanent_imports("colorsys"):
        import colorsys
        print(gc.isenabled(), end=" ")
    print(gc.isenabled(), gc.get_freeze_count() > 0)
    gc.unfreeze()
"""


def test_only_the_first_import_exempts_objects_from_garbage_collection():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False True True", "True True False"]
