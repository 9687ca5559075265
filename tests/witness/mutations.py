"""Parcels by chance: contents composed of honest and hostile parts, then changed in their bytes.

What matters is changed more often than what does not: keys that some loader prefers, names of
records, the order of names, opcodes that make tensors. Every parcel depends on its random numbers
alone.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from tests.fuzz import programs, readers
from tests.witness import attacks, shapes
from tests.witness.attacks import Computed, Fresh
from tests.witness.cell import CANARY
from tests.witness.parcels import Parcel
from tests.witness.shapes import State, changed, one, prefixed, saved

_LONGEST = 1 << 16
_FIRST = ("module", "module.", "modules", "_orig_mod.", "n_averaged", "", "é", "ctx\u202e")
_NAMES = ("DATA.PKL", "Data.pkl", "data.pkl", "data/0", "DATA/0", "version", "byteorder", ".data/x")
_WORDS = (*shapes.KEYS, *shapes.PREFIXES, "ctx", "token_prefix", "0", "1", "2", "_metadata")
_STATES = shapes.states()
_HONEST = list(shapes.honest().values())
_ATTACKS = list(attacks.attacks().values())
_SEEDS = readers.seeds()
_CONTAINERS = list(shapes.containers().values())


def parcel(rng: Random) -> Parcel:
    """One parcel."""
    clean = dict(rng.choice(_STATES))
    evil = changed(clean, rng)
    choice = rng.random()
    if choice < 0.05:
        return Parcel({"m.pth": readers.mutate(rng.choice(_SEEDS), rng, _LONGEST)})
    if choice < 0.2:
        made = rng.choice(_HONEST)(clean)
    elif choice < 0.4:
        made = rng.choice(_ATTACKS)(clean, evil)
    elif choice < 0.48:
        made = _of_tensors(_state(clean, evil, rng), rng)
    else:
        protocol, is_legacy = rng.choice((2, 2, 2, 3, 4, 5)), rng.random() < 0.15
        made = one(_content(clean, evil, rng), protocol, is_legacy)
    if rng.random() < 0.1:
        made = _folder(made, clean, evil, rng)
    if rng.random() < 0.6:
        return _spoilt(made, rng)
    return made


def _state(clean: State, evil: State, rng: Random) -> State:
    """Tensors of one model as a mapping that may be a model to somebody."""
    state: Any = dict(rng.choice((clean, clean, clean, evil)))
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        name = rng.choice(list(state))
        match rng.randrange(12):
            case 0 | 1:
                state = prefixed(state, rng.choice(shapes.PREFIXES))
            case 2:
                state = {
                    **state,
                    **prefixed(rng.choice((clean, evil)), rng.choice(shapes.PREFIXES)),
                }
            case 3:
                # Only some names behind the prefix.
                state = {
                    (rng.choice(shapes.PREFIXES) + n if n == name else n): t
                    for n, t in state.items()
                }
            case 4:
                state = {rng.choice(_FIRST): torch.ones(rng.choice((1, 2))), **state}
            case 5:
                state[name] = _viewed(state[name], rng)
            case 6:
                state = {n: t for n, t in state.items() if n != name} or state
            case 7:
                state |= attacks.junk(rng.choice((1, 2 * len(state))))
            case 8:
                state = dict(rng.sample(list(state.items()), len(state)))
            case 9:
                state = {f"{rng.choice(('1234567', 'abcdefg'))}{n}": t for n, t in state.items()}
            case 10:
                state[name] = evil.get(name, state[name])
            case _:
                state["n_averaged"] = torch.tensor(rng.choice((3, 7)))
    return state  # type: ignore[no-any-return]


def _viewed(tensor: Tensor, rng: Random) -> Tensor:
    """Another view, type or kind of the same values, or other ones."""
    tensor = tensor.to_dense()  # It was made another kind before.
    match rng.randrange(7):
        case 0:
            return tensor.t().contiguous().t() if tensor.dim() == 2 else tensor
        case 1:
            return torch.cat((tensor, tensor))[: len(tensor)] if tensor.dim() else tensor
        case 2:
            return tensor[:1].expand(tensor.shape) if tensor.dim() else tensor
        case 3:
            return tensor.to(rng.choice((torch.float16, torch.bfloat16, torch.float64)))
        case 4:
            return torch.nn.Parameter(tensor, requires_grad=False)
        case 5:
            return tensor.to_sparse()
        case _:
            return tensor.reshape(-1)


def _mapping(state: State, rng: Random) -> object:
    """The tensors in some kind of object."""
    pairs: dict[Any, Any] = dict(state)
    if rng.random() < 0.25:
        key = rng.choice(list(state))
        word = attacks.rot13 if rng.random() < 0.5 else attacks.computed_string
        odd: object = rng.choice((word(key), 7, None, (1, 2), b"ctx", word(f"module.{key}")))
        pairs[odd] = rng.choice((torch.ones_like(state[key].to_dense()), state[key], "x", None))
    if rng.random() < 0.2:
        kind = rng.choice((torch.nn.Parameter, torch.Tensor))
        pairs |= {n: Fresh(kind, t) for n, t in pairs.items() if rng.random() < 0.6}
    if rng.random() < 0.2:
        first: dict[object, object] = {rng.choice(_FIRST): rng.choice((1, None, "x"))}
        pairs = {**first, **pairs} if rng.random() < 0.7 else {**pairs, **first}
    kinds: tuple[Callable[[Any], object], ...] = (
        dict, dict, dict, OrderedDict, lambda p: defaultdict(list, p), lambda p: [p], _as_module,
        lambda p: Computed(Counter, pairs=p.items()), lambda p: Computed(dict, list(p.items())),
        lambda p: attacks.twice([*p.items(), *rng.choice(([], list(p.items())[:1]))]),
    )  # fmt: skip
    return rng.choice(kinds)(pairs)


def _as_module(pairs: Mapping[object, object]) -> object:
    plain = {n: t for n, t in pairs.items() if isinstance(n, str) and type(t) is Tensor}
    try:
        return shapes.as_module(plain)
    except (KeyError, TypeError):  # Names that no module may have.
        return dict(pairs)


def _content(clean: State, evil: State, rng: Random) -> object:
    """What is given to ``torch.save``: models under several keys, one of them mostly shown."""
    shown_at_top = _state(clean, evil, rng) if rng.random() < 0.2 else {}
    content: dict[Any, Any] = dict(shown_at_top)
    keys = rng.sample(shapes.KEYS, rng.choice((1, 1, 2, 2, 3)))
    if rng.random() < 0.5 and "state_dict" not in keys:
        keys.insert(rng.randrange(len(keys) + 1), "state_dict")
    known: list[object] = [clean]
    for key in keys:
        shown: object = key
        if rng.random() < 0.05:
            shown = rng.choice((attacks.rot13, attacks.computed_string))(key)
        value = _mapping(_state(clean, evil, rng), rng) if rng.random() < 0.8 else None
        content[shown] = rng.choice((value, value, value, rng.choice(known)))
        known.append(value)
    if rng.random() < 0.3:
        content["epoch"] = rng.choice((3, None, torch.tensor(3), [1], attacks.payload()))
    if rng.random() < 0.1:
        return {"state_dict": content}
    return next(iter(content.values())) if rng.random() < 0.05 else content


def _of_tensors(state: State, rng: Random) -> Parcel:
    plain = {n: t.contiguous().clone() for n, t in state.items() if t.layout is torch.strided}
    return Parcel({rng.choice(("m.safetensors", "m.pth")): safetensors.torch.save(plain)})


def _folder(made: Parcel, clean: State, evil: State, rng: Random) -> Parcel:
    """The first file of a parcel in some container, perhaps with a second one beside it."""
    data = next(iter(made.files.values()))
    wrapped = rng.choice(_CONTAINERS)(data)
    if not wrapped.is_folder or rng.random() < 0.5:
        return wrapped
    names = ("model.safetensors", "pytorch_model.bin", "a.pth", "optimizer.bin", "epoch=9.ckpt")
    extra: dict[str, bytes] = {}
    for name in rng.sample(names, rng.choice((1, 2))):
        state = _state(clean, evil, rng)
        of_tensors = next(iter(_of_tensors(state, rng).files.values()))
        extra[name] = of_tensors if name.endswith("safetensors") else saved(state)
    return Parcel({**wrapped.files, **extra}, True)


def _spoilt(made: Parcel, rng: Random) -> Parcel:
    """The parcel with one of its files changed."""
    files = dict(made.files)
    name = rng.choice([n for n in files if not n.startswith("@")])
    data = files[name]
    for _ in range(rng.choice((1, 1, 2))):
        match rng.randrange(4):
            case 0 if data[:2] == b"PK":
                data = _other_records(data, rng)
            case 1 | 2 if data[:2] == b"PK":
                data = _with_pickle(data, lambda pickle: _edited(pickle, rng))
            case _:
                data = readers.mutate(data, rng, _LONGEST)
    files[name] = data
    return Parcel(files, made.is_folder)


def _with_pickle(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    records = _records(data)
    return _written([(n, change(c) if n.endswith("/data.pkl") else c) for n, c in records])


def _records(data: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # It was spoilt before.
        return []


def _written(records: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # Names that stand twice are meant.
        for name, content in records:
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _other_records(data: bytes, rng: Random) -> bytes:
    """A zip whose records have other names, places or content."""
    records = _records(data)
    if not records:
        return data
    here, there = rng.randrange(len(records)), rng.randrange(len(records))
    name, content = records[here]
    root = name.split("/")[0]
    match rng.randrange(7):
        case 0:
            records[here] = (rng.choice((name.upper(), name.swapcase(), name.title())), content)
        case 1:
            records.insert(there, (f"{root}/{rng.choice(_NAMES)}", records[there][1]))
        case 2:
            records.insert(0, (f"{root}/{rng.choice(_NAMES)}", content))
        case 3:
            records[here], records[there] = records[there], records[here]
        case 4:
            records[here] = (name, records[there][1])
            records[there] = (records[there][0], content)
        case 5:
            records.insert(
                there, (f"{rng.choice(('Archive', 'x', root.upper()))}/data.pkl", content)
            )
        case _:
            del records[here]
    return _written(records)


def _edited(pickle: bytes, rng: Random) -> bytes:
    """A pickle with pieces of its meaning exchanged, or with opcodes changed."""
    if rng.random() < 0.4:
        return programs.mutate(pickle, rng, _LONGEST)
    pieces = programs.split(pickle)
    for _ in range(rng.choice((1, 1, 2))):
        here = rng.randrange(len(pieces))
        piece = pieces[here]
        same = [i for i, other in enumerate(pieces) if other[:1] == piece[:1]]
        match rng.randrange(7):
            case 0 | 1:
                there = rng.choice(same)
                pieces[here], pieces[there] = pieces[there], piece
            case 2 if piece[:1] in b"X\x8c":
                pieces[here] = programs.text(rng.choice(_WORDS))
            case 3 if piece[:1] in b"KhqM":
                pieces[here] = (
                    piece[:1] + bytes([(piece[1] + rng.choice((-1, 1))) % 256]) + piece[2:]
                )
            case 4 if piece[:1] == b"c":
                pieces[here] = _named_otherwise(piece, rng)
            case 5:
                pieces.insert(here, programs.named(*CANARY) + b")R0")
            case _ if piece[:1] == b"K":
                line = str(piece[1]).encode()
                spelt = (b"I%s\n", b"L%sL\n", b"I0x%s\n", b"I 0%s\n", b"I0%s\n", b"L%s\n")
                pieces[here] = rng.choice(spelt) % line
    return b"".join(pieces)[:_LONGEST]


def _named_otherwise(piece: bytes, rng: Random) -> bytes:
    """A global of the same, or of a similar, meaning."""
    module, name = piece[1:].decode("utf-8", "replace").split("\n")[:2]
    head, _, tail = module.rpartition(".")
    return rng.choice(
        (
            programs.short_text(module) + programs.short_text(name) + b"\x93",
            programs.named(head or module, f"{tail}.{name}"),
            programs.named(*rng.choice(programs.GLOBALS)),
            programs.named("torch.nn.modules.module", name),
            programs.named("torch.optim.adam", name),
        )
    )
