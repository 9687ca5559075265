"""What the standard library of any Python from 3.7 on pickles, in a torch zip made without torch.

`PYTHON tests/bench/honest_plain.py FOLDER` writes one checkpoint of each pickle protocol. The names
under which torch pickles a tensor are lent to stand-ins, so that the interpreter needs no package.
"""

import collections
import datetime
import decimal
import enum
import functools
import pathlib
import pickle
import sys
import types
import uuid
import zipfile

Shape = collections.namedtuple("Shape", "height width")


class Backbone(enum.Enum):
    """A vendor's own enum."""

    VIT = "ViT-B/16"


class Level(enum.IntEnum):
    """An enum that is a number."""

    LOW = 1


class FloatStorage:
    """Stands for torch's type."""


class Stored:
    """A storage: pickled as a persistent id."""


class Tensor:
    """Pickled as torch pickles a tensor of 4 times 16 values."""

    def __reduce__(self) -> tuple:  # type: ignore[type-arg]
        return _rebuild_tensor_v2, (Stored(), 0, (4, 16), (16, 1), False, collections.OrderedDict())


def _rebuild_tensor_v2(*arguments: object) -> None:
    """Only its name is pickled."""


class Pickler(pickle._Pickler):
    """Knows storages."""

    def persistent_id(self, obj: object) -> object:
        return ("storage", FloatStorage, "0", "cpu", 64) if isinstance(obj, Stored) else None


def lend() -> None:
    """Let ``torch`` and ``torch._utils`` be modules that hold the stand-ins."""
    for name, thing in (("torch", FloatStorage), ("torch._utils", _rebuild_tensor_v2)):
        module = sys.modules[name] = types.ModuleType(name)
        thing.__module__ = name
        setattr(module, thing.__name__, thing)


def content() -> dict:  # type: ignore[type-arg]
    """A checkpoint with everything of the standard library that a vendor might keep in one."""
    kept = {
        "paths": [pathlib.Path("out"), pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("b")],
        "members": [Backbone.VIT, Backbone.VIT, Level.LOW],
        "tuple": Shape(1, 2),
        "partial": functools.partial(dict, a=1),
        "user": collections.UserDict({0: "cat"}),
        "simple": types.SimpleNamespace(lr=1),
        "when": datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(0))),
        "delta": datetime.timedelta(1),
        "exact": decimal.Decimal("0.1"),
        "run": uuid.UUID(int=5),
        "queue": collections.deque([1.0], 5),
        "default": collections.defaultdict(list),
        "counter": collections.Counter("aab"),
        "plain": [
            {1},
            frozenset("x"),
            slice(1, 2),
            1j,
            range(3),
            bytearray(b"x"),
            None,
            type(None),
        ],
    }
    return {"state_dict": collections.OrderedDict(ctx=Tensor()), "epoch": 3, "args": kept}


def main(folder: str) -> None:
    lend()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with zipfile.ZipFile(str(pathlib.Path(folder, f"protocol-{protocol}.pth")), "w") as archive:
            with archive.open("archive/data.pkl", "w") as out:
                Pickler(out, protocol).dump(content())
            archive.writestr("archive/byteorder", "little")
            archive.writestr("archive/data/0", bytes(256))
            archive.writestr("archive/version", "3\n")


if __name__ == "__main__":
    main(sys.argv[1])
