"""Names inside a file that look like others, or do something to a screen."""

from __future__ import annotations

from collections.abc import Callable

from tests.hostile import assemble as a
from tests.hostile.boxes import torch_zip
from tests.hostile.entry import Entry, bad, code


def _keyed(key: str) -> Callable[[], bytes]:
    return lambda: torch_zip(a.checkpoint((key, a.CTX)))


def _raw_key(opcode: bytes) -> Callable[[], bytes]:
    return lambda: torch_zip(
        a.program(a.mapping((a.text("state_dict"), a.mapping((opcode, a.CTX)))))
    )


def _beside(key: str) -> Callable[[], bytes]:
    return lambda: torch_zip(
        a.program(
            a.mapping(
                (a.text("state_dict"), a.mapping((a.text("ctx"), a.CTX))),
                (a.text(key), a.text("\x1b[2J\u202e" + "x" * 5000)),
            )
        )
    )


_UNPRINTABLE: tuple[tuple[str, str, str], ...] = (
    ("nul", "a NUL, where C stops reading", "ctx\0"),
    ("rtl", "a right-to-left override", "\u202ectx"),
    ("zero-width", "a zero-width space", "ctx\u200b"),
    ("bom", "a byte order mark", "\ufeffctx"),
    ("newline", "a line break", "ctx\n"),
    ("escape", "an escape sequence for a terminal", "\x1b[2Jctx"),
    ("surrogate", "half a surrogate", "ctx\ud800"),
    ("private", "a private-use character", "ctx\ue000"),
    ("tag", "an invisible tag character", "ctx\U000e0041"),
    ("empty", "no letter at all", ""),
    ("metadata", "the name that safetensors reserves", "__metadata__"),
)

ENTRIES: tuple[Entry, ...] = (
    *(
        bad(f"key-{name}", f"a key with {what}", "trojan source", _keyed(key), "tensor-malformed")
        for name, what, key in _UNPRINTABLE
    ),
    bad("key-homoglyph", "ctx with a Cyrillic letter: another key", "original",
        _keyed("\u0441tx"), "unknown-family"),
    bad("key-fullwidth", "ctx in full-width letters: another key", "original",
        _keyed("\uff43\uff54\uff58"), "unknown-family"),
    bad("key-case", "CTX: another key", "original", _keyed("CTX"), "unknown-family"),
    bad("key-long", "a key of 100,000 letters", "original", _keyed("x" * 100_000),
        "limit-exceeded"),
    bad("key-long-sparse", "a key of a million letters for a sparse tensor", "original",
        lambda: torch_zip(a.checkpoint(("x" * 1_000_000, a.call(
            "torch._utils", "_rebuild_sparse_tensor", b")")))), "limit-exceeded"),
    bad("key-number", "a number for a key", "original", _raw_key(b"K\x01"), "tensor-malformed"),
    bad("key-bytes", "bytes for a key", "original", _raw_key(b"U\x01\xff"), "tensor-malformed"),
    bad("key-node", "an object for a key, whose hash would run", "original",
        _raw_key(a.named("somebody", "Key") + b")\x81"), "tensor-malformed",
        "pickle-unknown-global"),
    bad("key-overlong", "overlong UTF-8", "original",
        _raw_key(b"X\x04\0\0\0\xc1\xa3tx"), "pickle-malformed"),
    bad("scalar-noise", "control characters beside the tensors", "original",
        _beside("\x1b]0;x\x07"), canonical=True),
    code("word-global-noise", "a function whose name clears the screen", "original",
         lambda: torch_zip(a.coop(a.call("o\x1b[2Js", "sys\x07tem", a.text("x"))))),
    code("word-global-surrogate", "a module with half a surrogate", "original",
         lambda: torch_zip(a.coop(b"co\xed\xa0\x80s\nsystem\n)R"))),
)  # fmt: skip
