"""Print what the API image installs: the dependencies without the tensor stack, and the PDF's."""

import tomllib
from pathlib import Path

TENSOR_STACK = ("torch", "open-clip-torch", "numpy", "pillow", "safetensors")

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
for line in [*project["dependencies"], *project["optional-dependencies"]["pdf"]]:
    if not line.startswith(TENSOR_STACK):
        print(line)
