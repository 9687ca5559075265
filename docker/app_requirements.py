"""Print what the API image installs: the project's dependencies without the tensor stack."""

import tomllib
from pathlib import Path

TENSOR_STACK = ("torch", "open-clip-torch", "numpy", "pillow", "safetensors")

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
for line in project["dependencies"]:
    if not line.startswith(TENSOR_STACK):
        print(line)
