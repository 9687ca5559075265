"""What "other tensors than those judged" means; the one definition that all witnesses share.

A loader's mapping is a dictionary of tensors as it would go into ``load_state_dict``. It is *judged* when
it can be divided into models that clipvet judged: each model's names, behind one prefix of the mapping's
own (none, ``module.``, ``model.`` or any other), with the same dtype, shape and bits. What is left over
must be the counter ``n_averaged``, or judged tensors of whose names open_clip's cut has left half a
word. A mapping does not count in which no tensor has more than one value: epochs and losses are kept
as tensors, too.

Of a file that ``torch.load`` opens, the customer takes ``state_dict`` or, where there is none, the whole.
Every other mapping in it is a *twin* when, behind one prefix that is empty or ends in a full stop, it
holds all names that the family of a judged model requires: somebody may take it. Twins must be judged
as well. State of an optimiser has no such names and therefore does not count.

clipvet *did not call the file clean* when the verdict of any of its models cannot be that, be the
search as it may (:func:`tests.witness.judging.judged`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

Bits = str
"""Dtype, shape and SHA-256 of one tensor; its second word is the number of values."""
Tensors = Mapping[str, Bits]
_COUNTER = "n_averaged"


def counts(mapping: Tensors) -> bool:
    """Whether any tensor has more than one value."""
    return any(bits.split()[1] not in ("0", "1") for bits in mapping.values())


def is_judged(theirs: Tensors, models: Sequence[Tensors]) -> bool:
    """Whether a loader's mapping is made of ``models`` and nothing else."""
    left = dict(theirs)
    for model in sorted(models, key=len, reverse=True):
        for prefix in list(_prefixes(left, model)):
            if all(left.get(prefix + name) == bits for name, bits in model.items()):
                for name in model:
                    del left[prefix + name]
    return all(
        name and (_COUNTER.endswith(name) or any(_is_cut(name, bits, model) for model in models))
        for name, bits in left.items()
    )


def _is_cut(name: str, bits: Bits, model: Tensors) -> bool:
    """Whether a name is what a cut in the middle of a word has left of one in ``model``."""
    return any(
        full.endswith(name) and full[: -len(name)][-1:] not in ("", ".") and own == bits
        for full, own in model.items()
    )


def is_twin(theirs: Tensors, required: Iterable[frozenset[str]]) -> bool:
    """Whether a mapping holds, behind one prefix, all names of one of the groups ``required``."""
    return any(
        all(prefix + name in theirs for name in names)
        for names in required
        if names
        for prefix in _prefixes(theirs, names)
        if prefix.endswith(".") or not prefix
    )


def _prefixes(theirs: Tensors, names: Iterable[str]) -> Iterator[str]:
    """What stands before the first of ``names`` wherever it ends one of ``theirs``."""
    first = min(names, default=None)
    if first is not None:
        yield from [name.removesuffix(first) for name in theirs if name.endswith(first)]
