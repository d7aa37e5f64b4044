"""A file to write into whose bytes are taken while it is written, such as by a response to a request."""

import io
from typing import Any

BYTES_PER_PART = 1 << 16


class ByteSink(io.RawIOBase):
    """Keeps only what nobody has taken yet.  It cannot be sought in."""

    def __init__(self) -> None:
        self.waiting = bytearray()
        self.position = 0

    @property
    def has_much(self) -> bool:
        return len(self.waiting) >= BYTES_PER_PART

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.waiting += content
        self.position += len(content)
        return len(content)

    def tell(self) -> int:
        return self.position

    def taken(self) -> bytes:
        content = bytes(self.waiting)
        self.waiting.clear()
        return content
