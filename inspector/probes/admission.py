"""Which pictures are decoded, decided by headers: neither one nor all together may be huge.

A picture of 100 million equal pixels takes 100 kB. What an honest archive unpacks to is bounded by
its bytes, give or take flat pictures, and so is what is decoded here. Knows no pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from inspector.errors import RequestError
from inspector.probes.headers import HEAD_BYTES, Header, read_header
from inspector.probes.sources import MAX_BYTES, Picture

MAX_PIXELS = 2**26
"""Of one picture, 8192 x 8192: beyond what cameras of 50 megapixels take."""
MAX_PIXELS_OF = {"WEBP": 2**25}
"""Less where the library keeps four copies, as libwebp does: half a GiB, as much
as other formats take."""
MAX_UNPAID = 2**29
"""Pixels, or unpacked bytes if these are more, of all pictures beyond what their bytes on disk pay
for: some ten seconds of decoding."""
PIXELS_PER_BYTE = 32
"""What a byte on disk pays for; the strongest usual compression of photographs gives 10 to 20."""
_MIN_SIDE = 8


class Admission:
    """Counts what is admitted, and what was skipped."""

    def __init__(self) -> None:
        self.skipped = 0
        self._unpaid = 0

    def admit(self, pictures: Iterable[Picture]) -> Iterator[tuple[Picture, Header]]:
        """The sound ones with their headers, as they are asked for.

        Raises:
            RequestError: one is too large, or all together are.
        """
        for picture in pictures:
            head = picture.read(HEAD_BYTES) if picture.size <= MAX_BYTES else None
            self._unpaid -= PIXELS_PER_BYTE * picture.stored
            self._charge(picture, len(head or b""))
            header = read_header(head) if head else None
            if header is None or min(header.width, header.height) < _MIN_SIDE:
                self.skipped += 1
                continue
            limit = MAX_PIXELS_OF.get(header.format, MAX_PIXELS)
            if header.pixels > limit:
                raise RequestError(
                    "probes",
                    f"{picture} has {header.width} x {header.height} pixels; a {header.format} "
                    f"picture may have {limit} at most: leave it out, or scale it down",
                )
            self.charge(picture, header, header.effort)
            yield picture, header

    def charge(self, picture: Picture, header: Header, effort: int) -> None:
        """Raises RequestError when the work exceeds what the archive's bytes explain."""
        self._charge(picture, effort * max(header.pixels, picture.size))

    def _charge(self, picture: Picture, work: int) -> None:
        self._unpaid += work
        if self._unpaid > MAX_UNPAID:
            raise RequestError(
                "probes",
                f"up to {picture} the pictures unpack to {self._unpaid} pixels more than "
                f"{PIXELS_PER_BYTE} for each of their bytes; {MAX_UNPAID} may be: leave flat, huge "
                "pictures out, or scale them down",
            )
