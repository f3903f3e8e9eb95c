"""Devices by name, and other packages' devices."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from harness.devices import registry
from harness.devices.cpu import CpuDevice
from harness.devices.cuda import CudaDevice


class OtherDevice(CpuDevice):
    kind = "other"


@pytest.fixture
def plugins(monkeypatch):
    """Install entry points: name -> what loading gives, or an exception that it raises."""

    def install(**points):
        def load(outcome):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        found = [
            SimpleNamespace(name=name, value=f"pkg:{name}", load=lambda outcome=outcome: load(outcome))
            for name, outcome in points.items()
        ]
        monkeypatch.setattr(
            "importlib.metadata.entry_points", lambda group: found if group == registry.GROUP else []
        )
        registry.DEVICES.__dict__.pop("_plugins", None)

    yield install
    monkeypatch.undo()
    registry.DEVICES.__dict__.pop("_plugins", None)


def test_built_in_devices_are_found_by_kind():
    """The two kinds of this repository, and no others by accident."""
    assert registry.get("cpu") is CpuDevice
    assert registry.get("cuda") is CudaDevice
    with pytest.raises(KeyError):
        registry.get("abacus")


def test_a_plugin_adds_a_kind(plugins):
    """An entry point is found, listed after our own, and made by name."""
    plugins(other=OtherDevice)
    assert registry.kinds() == ["cpu", "cuda", "xla", "tpu", "rocm", "xpu", "mps", "other"]
    assert isinstance(registry.device("other"), OtherDevice)
    assert registry.broken() == {}


def test_broken_plugins_disable_only_themselves(plugins):
    """A failing import, a wrong class and a taken name are reported in one line each; the rest works."""
    plugins(other=OtherDevice, bad=ImportError("no module x"), wrong=dict, cpu=OtherDevice, auto=OtherDevice)
    assert registry.kinds() == ["cpu", "cuda", "xla", "tpu", "rocm", "xpu", "mps", "other"]
    assert registry.get("cpu") is CpuDevice
    assert registry.broken() == {
        "bad": "pkg:bad: ImportError: no module x",
        "wrong": "pkg:wrong is not a Device class",
        "cpu": "pkg:cpu takes the name of a built-in device",
        "auto": "pkg:auto takes the name of a built-in device",
    }


@pytest.mark.parametrize(("reason", "kind"), [(None, "cuda"), ("no driver", "cpu")])
def test_auto_is_cuda_where_it_works(monkeypatch, reason, kind):
    """`auto` asks CUDA for a reason; any other kind stands for itself."""
    monkeypatch.setattr(CudaDevice, "unavailable_reason", classmethod(lambda cls, index=0: reason))
    assert registry.resolve_kind("auto") == kind
    assert registry.resolve_kind("cuda") == "cuda"


def test_names_carry_an_index():
    """`cuda:3` is the fourth CUDA device; a name that ends in letters is an error."""
    device = registry.device("cuda:3", threads=2)
    assert (device.kind, device.index, device.threads) == ("cuda", 3, 2)
    assert device.torch_device == "cuda:3"
    with pytest.raises(ValueError, match="invalid literal"):
        registry.device("cuda:x")


def test_asking_for_devices_imports_no_torch():
    """`auto` and every reason are found without importing torch, so plan and doctor stay quick."""
    code = (
        "import sys; from harness.devices import registry\n"
        "registry.resolve_kind('auto'); [registry.get(k).unavailable_reason(0) for k in registry.kinds()]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
