"""Text from a file, made safe to show: what a name is made of, and not what it does to a screen."""

from __future__ import annotations


def printable(text: str, longest: int = 200) -> str:
    """``text`` in printable ASCII, cut to ``longest`` characters.

    Controls, line breaks, right-to-left marks, look-alike letters and lone surrogates are spelt out
    as escapes.
    """
    plain = text.encode("ascii", "backslashreplace").decode("ascii")
    plain = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in plain)
    return plain if len(plain) <= longest else f"{plain[: longest - 3]}..."
