"""Whoever passes a tensor is told its shape, and of pictures the range, by the docstring.

That every public name has a docstring is ruff's to check (``D`` in pyproject).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "inspector"
FILES = sorted(PACKAGE.rglob("*.py"))
TENSORS = {"Tensor", "NDArray", "Pixels", "Ids"}
MAPPINGS = {"Mapping", "dict", "Callable"}
"""Tensors by name, those of a state_dict, have a shape each; a callable's are its own to tell."""
PICTURES = {"pixels", "images", "triggered"}
"""What parameters are called that take pictures."""
_SIZE = r"(?:[A-Za-z]\w*|\d{1,3}|\.\.\.)(?: ?[-+*/] ?(?:[A-Za-z]|\d))*"
_LETTER = r"(?=[^)]*\b(?:[A-Za-z]|\d{1,3})\b)"
SHAPE = re.compile(rf"\({_LETTER}(?:{_SIZE},|{_SIZE}(?:, {_SIZE})+)\)|\bany shape\b|\bscalar\b")
"""Sizes in brackets, at least one of them a letter or a number: (K,), (N, length), (..., L-1-M)."""

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _definitions(
    tree: ast.Module | ast.ClassDef, outer: str = ""
) -> Iterator[tuple[str, Definition]]:
    """What is public, methods too; what private classes hold is not."""
    for node in tree.body:
        if isinstance(node, Definition) and (node.name == "__call__" or node.name[0] != "_"):
            yield outer + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node, f"{outer}{node.name}.")


def _parameters(node: Definition) -> dict[str, ast.expr]:
    """Annotations of a function's parameters, or of a class's fields."""
    if isinstance(node, ast.ClassDef):
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
        return {ast.unparse(one.target): one.annotation for one in fields}
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {one.arg: one.annotation for one in given if one.annotation is not None}


def _holds_tensors(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) in MAPPINGS:
        return False
    return ast.unparse(annotation).rpartition(".")[2] in TENSORS or any(
        _holds_tensors(part)
        for part in ast.iter_child_nodes(annotation)
        if isinstance(part, ast.expr)
    )


def _told(node: Definition) -> str:
    """The docstring; of a class with those of its fields."""
    fields = node.body[1:] if isinstance(node, ast.ClassDef) else []
    values = [one.value for one in fields if isinstance(one, ast.Expr)]
    texts = [one.value for one in values if isinstance(one, ast.Constant)]
    return "\n".join([ast.get_docstring(node) or "", *(str(text) for text in texts)])


def _faults(source: str) -> list[str]:
    """Public names that pass tensors and do not say their shape, or of pictures the range."""
    faults = []
    for name, node in _definitions(ast.parse(source)):
        tensors = {key for key, one in _parameters(node).items() if _holds_tensors(one)}
        returns = None if isinstance(node, ast.ClassDef) else node.returns
        if tensors or (returns is not None and _holds_tensors(returns)):
            if not SHAPE.search(_told(node)):
                faults.append(f"{name}: shape")
            if PICTURES & tensors and "[0,1]" not in _told(node):
                faults.append(f"{name}: range")
    return faults


def test_tensors_are_told_with_shape_and_pictures_with_range() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): _faults(path.read_text("utf-8")) for path in FILES
    }
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ('def f(x: Tensor) -> None:\n    """Of features (N, D)."""', []),
        ('def f(x: Tensor) -> None:\n    """Of features (once, twice)."""', ["f: shape"]),
        (
            'def f(x: torch.Tensor | None = None) -> None:\n    """Of (some) features."""',
            ["f: shape"],
        ),
        ('def f() -> tuple[Tensor, int]:\n    """Features and their number."""', ["f: shape"]),
        ('def f(images: Tensor) -> None:\n    """Of pictures (N, 3, S, S)."""', ["f: range"]),
        ('def f(images: Tensor) -> None:\n    """Of (N, 3, S, S) in [0,1]."""', []),
        ('def f(x: Mapping[str, Tensor]) -> None:\n    """Of a state_dict."""', []),
        (
            'class C:\n    """Some."""\n    def g(self) -> Tensor:\n        """Sum."""',
            ["C.g: shape"],
        ),
        ('class C:\n    """Some."""\n    x: Tensor\n    """(K,) of them."""', []),
        ('class C:\n    """Some."""\n    x: Tensor\n    """K of them."""', ["C: shape"]),
        ("def _f(x: Tensor) -> None: ...", []),
    ],
)
def test_the_check_sees_what_is_missing(source: str, faults: list[str]) -> None:
    assert _faults(source) == faults
