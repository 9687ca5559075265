"""How strong a sandbox is, in one word of an ordered scale, from the layers that took hold.

Each level includes all below it; a missing layer in between therefore counts. From the weakest:

``plain``: a process of its own with an empty environment.
``rlimits``: bounded memory, CPU time, files; no new privileges; it dies with its parent.
``landlock``: it opens no file but the artifact and its own results. Landlock sees to it, or a
private root; the level is named after what an ordinary container has.
``seccomp``: only the system calls that reading needs, none of which makes a socket or a process.
``namespaces``: a private root, no network device, no other process in sight.

Knows names only, no system call.
"""

from __future__ import annotations

from typing import Literal, get_args

Level = Literal["plain", "rlimits", "landlock", "seccomp", "namespaces"]
LEVELS: tuple[Level, ...] = get_args(Level)

RLIMIT_LAYERS = ("rlimit-as", "rlimit-cpu", "rlimit-fsize", "rlimit-nofile", "rlimit-core")
NO_NEW_PRIVILEGES = "no-new-privileges"
PARENT_DEATH = "parent-death-signal"
FILE_RULES = "landlock-files"
PRIVATE_ROOT = "private-root"
CALL_FILTER = "system-call-filter"
NAMESPACES = ("mount-namespace", "network-namespace", "ipc-namespace", "pid-namespace")

_REFUSED = "without "


def level_of(layers: tuple[str, ...]) -> Level:
    """The level that ``layers`` reach; names it does not know are ignored."""
    has = frozenset(layers)
    demands: tuple[bool, ...] = (
        has.issuperset((*RLIMIT_LAYERS, NO_NEW_PRIVILEGES, PARENT_DEATH)),
        FILE_RULES in has or PRIVATE_ROOT in has,
        CALL_FILTER in has,
        has.issuperset((*NAMESPACES, PRIVATE_ROOT)),
    )
    reached = 0
    for is_met in demands:
        if not is_met:
            break
        reached += 1
    return LEVELS[reached]


def is_below(level: Level, floor: Level) -> bool:
    """Whether ``level`` is weaker than ``floor``."""
    return LEVELS.index(level) < LEVELS.index(floor)


def as_level(word: object) -> Level:
    """Raises ``ValueError`` when ``word`` is no level."""
    for level in LEVELS:
        if word == level:
            return level
    raise ValueError(f"{word!r} is no sandbox level; there are {', '.join(LEVELS)}")


def refused(layer: str, reason: str) -> str:
    """How a layer that the machine does not let us have stands among those that took hold."""
    return f"{_REFUSED}{layer}: {reason}"


def described(layers: tuple[str, ...]) -> tuple[str, ...]:
    """What a reading says of its sandbox: the level, then every layer and every refused one."""
    return (level_of(layers), *layers)
