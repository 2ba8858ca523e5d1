"""Read the archives of skops without importing skops, which takes several seconds because it imports all of sklearn.

skops writes the archives. A test compares the pipelines that both readers return.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

ARRAY = "numpy.ndarray"


def read_archive(data: bytes, classes: Mapping[str, type]) -> Any:
    """Return the object in an archive; objects are created as by unpickling, without a call of their constructor.

    Args:
        data: the archive
        classes: full name -> class, for every class whose objects may be created

    Raises:
        ValueError: the archive asks for something else

    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return _Reader(archive, classes).read(json.loads(archive.read("schema.json")))


class _Reader:
    def __init__(self, archive: zipfile.ZipFile, classes: Mapping[str, type]) -> None:
        self.archive, self.classes = archive, classes
        self.values: dict[Any, Any] = {}  # by identifier: an object that was written twice is one object again

    def read(self, node: Mapping[str, Any]) -> Any:
        """Return the value of a node of the schema."""
        name = node.get("__id__")
        if name is None:
            return self._read(node)
        if name not in self.values:
            self.values[name] = self._read(node)
        return self.values[name]

    def _read(self, node: Mapping[str, Any]) -> Any:
        kind, content = node["__loader__"], node.get("content")
        if kind == "JsonNode":
            return json.loads(str(content))
        if kind == "NdArrayNode":
            return self._array(node)
        if kind == "DictNode":
            return {str(key): self.read(value) for key, value in dict(content or {}).items()}
        if kind in ("ListNode", "TupleNode"):
            values = [self.read(value) for value in content or []]
            return values if kind == "ListNode" else tuple(values)
        if kind == "ObjectNode":
            return self._object(f"{node['__module__']}.{node['__class__']}", content)
        raise ValueError(f"it asks for a {kind}")

    def _array(self, node: Mapping[str, Any]) -> Any:
        if node["type"] != "numpy":
            raise ValueError("it holds an array of objects")
        array = np.load(io.BytesIO(self.archive.read(node["file"])), allow_pickle=False)
        return array if f"{node['__module__']}.{node['__class__']}" == ARRAY else array[()]

    def _object(self, name: str, content: Mapping[str, Any] | None) -> Any:
        if name not in self.classes:
            raise ValueError(f"it asks for {name}")
        cls: Any = self.classes[name]
        instance = cls.__new__(cls)
        state = None if content is None else self.read(content)
        if state is None:
            return instance
        if hasattr(instance, "__setstate__"):
            instance.__setstate__(state)
        else:
            vars(instance).update(state)
        return instance
