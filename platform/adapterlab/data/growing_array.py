"""A ``.npy`` file that is written piece by piece, for arrays whose length is known last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


class GrowingArray:
    """A one-dimensional array on disk.

    NumPy leaves room in a file's header for the first axis to grow, so the final length is written
    over the first. Source: NEP 1 and ``numpy.lib.format``.
    """

    def __init__(self, path: Path, kind: str) -> None:
        import numpy as np

        self._kind = np.dtype(kind)
        self._stream = path.open("wb")
        self._length = 0
        self._header_bytes = self._write_header()

    def __len__(self) -> int:
        return self._length

    def append(self, values: NDArray[Any]) -> None:
        """Append values, (n,)."""
        values.astype(self._kind, copy=False).tofile(self._stream)
        self._length += len(values)

    def close(self) -> None:
        """Write the final length and close the file."""
        self._stream.seek(0)
        if self._write_header() != self._header_bytes:
            raise OSError("a .npy header does not keep its size in this version of NumPy")
        self._stream.close()

    def _write_header(self) -> int:
        import numpy as np

        described = {
            "descr": np.lib.format.dtype_to_descr(self._kind),
            "fortran_order": False,
            "shape": (self._length,),
        }
        np.lib.format.write_array_header_1_0(self._stream, described)
        return self._stream.tell()
