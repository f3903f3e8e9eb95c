"""The installed torch, from its version file."""

from __future__ import annotations

from importlib.machinery import ModuleSpec

import pytest
import torch

from harness.system import torch_build as module
from harness.system.torch_build import TorchBuild, torch_build

CUDA = "from typing import Optional\n\n__version__ = '2.15.0+cu132'\ncuda: Optional[str] = '13.2'\n"
CPU = "__version__ = '2.13.0+cpu'\ndebug = False\ncuda: Optional[str] = None\ngit_version = 'f'\n"


@pytest.mark.parametrize(
    ("text", "build"),
    [(CUDA, TorchBuild("2.15.0+cu132", "13.2")), (CPU, TorchBuild("2.13.0+cpu", None)), (None, None)],
)
def test_a_build_is_read_from_its_file(tmp_path, monkeypatch, text, build):
    """With the CUDA that it is for; a torch without the file reports nothing."""
    if text is not None:
        (tmp_path / "version.py").write_text(text)
    spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _name: spec)
    assert torch_build() == build


def test_the_file_says_what_torch_says():
    """Of the torch that the tests run with."""
    assert torch_build() == TorchBuild(torch.__version__, torch.version.cuda)
