"""The HTTP client of the service: what ``submit``, the demo and pipelines use.

Installed by itself it is ``clipvet_client``, of the distribution ``clipvet-client``; this very
folder is its only source. It imports Python's own library, httpx2 and itself, nothing else.
"""

from .api import TERMINAL, Client
from .errors import (
    ApiError,
    Busy,
    ClipvetError,
    Conflict,
    NotFound,
    Refused,
    ServiceFault,
    Unauthorized,
    Unreachable,
    WrongDigest,
)
from .transport import Json
from .version import VERSION

__version__ = VERSION

__all__ = [
    "TERMINAL",
    "ApiError",
    "Busy",
    "Client",
    "ClipvetError",
    "Conflict",
    "Json",
    "NotFound",
    "Refused",
    "ServiceFault",
    "Unauthorized",
    "Unreachable",
    "WrongDigest",
    "__version__",
]
