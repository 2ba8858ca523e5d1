"""Load the compiled kernels and pass arrays to them."""

import ctypes
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError, printable
from ser_lightning.kernels.compile import compiled

Array = npt.NDArray[Any]

TYPES: dict[str, Any] = {"int": ctypes.c_int, "long": ctypes.c_long, "float": ctypes.c_float, "double": ctypes.c_double}
# type of the result, then of the arguments, as in the C sources
SIGNATURES = {
    "spectra": "int float* long long long double* double* double* float*",
    "energies": "int float* long long long float*",
    "crossings": "int float* long long long long float*",
    "bands": "int float* long long long* long* float* long float*",
    "peaks": "long float* long long long long float double double float*",
    "mode": "long float* long float double* long",
    "advances": "int float* long long long float* float* float* float* float* float*",
    "stretch": "int float* float* float* long double long long float* float* float* float* float*",
    "resample": "int float* long long long float* long long float*",
}


@cache
def library() -> ctypes.CDLL:
    """Load the kernel library and declare the types of its functions.

    Raises:
        InputError: the library cannot be compiled or loaded

    """
    path = compiled()
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise InputError(f"cannot load the kernels in {printable(path)}: {error}; delete the file") from error
    for name, signature in SIGNATURES.items():
        result, *arguments = (TYPES.get(word, ctypes.c_void_p) for word in signature.split())
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def input_ptr(array: Array, kind: type[np.float32 | np.float64 | np.complex64]) -> int:
    """Return the address of an array that a kernel reads.

    Raises:
        TypeError: the array has another type, or its rows are not contiguous

    """
    if array.dtype != kind or array.strides[-1] != array.itemsize:
        raise TypeError(f"expected rows of {kind.__name__} without gaps but got {array.dtype} with {array.strides}")
    data: int = array.ctypes.data
    return data


def output_ptr(array: Array) -> int:
    """Return the address of a new array that a kernel writes to, in a third of the time of :func:`input_ptr`."""
    return ctypes.addressof(ctypes.c_char.from_buffer(array.data))


def check_success(status: int, result: Array) -> Array:
    """Return the result of a kernel if it succeeded.

    Raises:
        MemoryError: the kernel could not allocate its working memory

    """
    if status:
        raise MemoryError(f"Cannot allocate the working memory for an array of shape {result.shape}")
    return result
