"""The judgement on every global that a pickle names.

A deny-list can always be bypassed, so the rule is an allow-list: what is not on it and is *called*
(REDUCE, OBJ, INST, a call of a computed object, filling or changing a global) is an attempt to run
code, whatever its name. The deny-list only raises the weight of names whose mere presence has no
honest explanation: a dangerous function may be handed to something harmless that calls it later.

    expected   on the allow-list: what torch, Dassl and numpy write
    low        harmless value classes that are unusual in a checkpoint
    high       code unknown to us: named, made empty, or a vendor's own class called with values
    critical   on the deny-list, or unknown and called; or anything called that was itself computed

There is one exception to "unknown and called", since Python pickles every enum member as a call of
its class with its value: *a class of a vendor's own project, called by REDUCE with plain values*.
An attacker can only call what is installed where the file is loaded, so a gadget lies in Python's
library or in a published package (:mod:`~inspector.checkpoint.pickles.published`); a vendor's
project is code that its customer has chosen to run. The exception ends where it could be a detour:

- a function, by its name: a gadget needs something to do, classes mostly keep values;
- an argument that is more than a plain value: another function, or the result of a call;
- a path through attributes, or the name of a class that acts when it is made (``Popen``): a
  project's module may have imported it;
- what the call gave is called, or is given a state, which runs its ``__setstate__``.

It is never less than ``high``, which forbids ``clean``. The gadgets that honest picklers use in one
way only (``getattr`` for enum members, ``partial``, ``type(None)``) are ``low`` if every use in the
file is of that way (:func:`~inspector.checkpoint.pickles.known.is_idle`).

Nothing here decides what is loaded: even an expected global is only ever interpreted by our own
code (:mod:`inspector.checkpoint.pickles.rebuild`). The allow-list starts from
``torch/_weights_only_unpickler.py``; the deny-list from the published scanner bypasses.
"""

from __future__ import annotations

import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

from inspector.checkpoint.pickles.denied import is_denied, is_path, reaches_out
from inspector.checkpoint.pickles.honest import (
    EXPECTED,
    ONLY_NAMED,
    is_filled,
    is_honest,
    is_live_state,
    is_value,
)
from inspector.checkpoint.pickles.ledger import Ledger, Mentions
from inspector.checkpoint.pickles.published import is_published
from inspector.checkpoint.reading import GlobalSeverity, GlobalUse
from inspector.checkpoint.reasons import report
from inspector.checkpoint.wording import printable
from inspector.findings import Finding

_CALLING = frozenset({"REDUCE", "OBJ", "INST", "in turn", "computed"})
_FILLING = frozenset({"APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS", "DICT", "BUILD"})
_CLASS = re.compile(r"_{0,2}[A-Z][A-Za-z0-9_]*")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_ENUM_MODULES = (".enums", ".enumerations")


def real_name(module: str, name: str) -> str:
    """The dotted name in Python 3: unpickling renames what Python 2 called otherwise."""
    module, name = NAME_MAPPING.get((module, name), (module, name))
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"


def judge(entry: Mentions) -> GlobalSeverity:
    """How one global weighs, by its name and by what the pickle does with it."""
    dotted = real_name(entry.module, entry.name)
    if entry.uses & (_FILLING | {"computed"}):
        return "critical"
    if is_value(dotted) or entry.is_idle:
        return "low"
    if is_denied(dotted) or is_path(entry.name):
        return "critical"
    is_attribute = "." in entry.name
    if dotted in EXPECTED and not is_attribute:
        return "critical" if dotted in ONLY_NAMED and entry.uses & _CALLING else "expected"
    if entry.uses & _CALLING:
        return "high" if _is_value_of_a_vendor(dotted, entry) else "critical"
    if is_attribute:
        return "high"
    if is_live_state(dotted):
        return "expected"
    return "low" if is_filled(dotted) else "high"


def is_attack(entry: Mentions, *, is_sure: bool) -> bool:
    """Whether a broken file shows by this global that it would run something.

    Unless it ``is_sure`` where the opcodes lie, only a call of something in Python's library or in
    a published package counts: damage makes names out of the ends of others.
    """
    dotted = real_name(entry.module, entry.name)
    if not entry.uses or is_honest(dotted) or judge(entry) != "critical":
        return False
    if is_sure or (is_denied(dotted) and entry.uses & _CALLING):
        return True
    return "REDUCE" in entry.uses and is_published(dotted)


def summarise(ledger: Ledger) -> tuple[tuple[GlobalUse, ...], tuple[Finding, ...]]:
    """All globals of an artifact, and one finding for each that is not expected."""
    uses, findings = [], []
    for entry in sorted(ledger.entries.values(), key=lambda item: (item.module, item.name)):
        severity = judge(entry)
        shown = printable(real_name(entry.module, entry.name))
        uses.append(GlobalUse(shown, entry.count, severity))
        if severity == "critical":
            how = f"by {', '.join(sorted(entry.uses))}" if entry.uses else "by naming it"
            findings.append(
                report("pickle-code-execution", f"the pickle would run {shown} ({how})")
            )
        elif severity == "high":
            findings.append(
                report(
                    "pickle-unknown-global", f"the pickle holds code that we do not know: {shown}"
                )
            )
        elif severity == "low":
            findings.append(report("pickle-uncommon-global", f"the pickle holds a {shown}"))
    return tuple(uses), tuple(findings)


def _is_value_of_a_vendor(dotted: str, entry: Mentions) -> bool:
    """Whether a call is what Python writes for an enum member of a project's own."""
    if entry.uses & _CALLING != {"REDUCE"} or entry.has_objects or entry.has_state:
        return False
    module = dotted.rpartition(".")[0]
    is_class = _CLASS.fullmatch(entry.name) is not None and _MODULE.fullmatch(module) is not None
    # A module that is called after enums holds nothing else, whoever has published it.
    is_theirs = is_published(module) and not module.endswith(_ENUM_MODULES)
    return is_class and not is_theirs and not reaches_out(entry.name)
