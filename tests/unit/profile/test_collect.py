"""From the profiler's events to ours: kinds, modules, and a real pass over a small model."""

import json
from enum import Enum
from types import SimpleNamespace

import pytest

from harness.profile import collect


class DeviceType(Enum):
    """As torch names them."""

    CPU = 0
    CUDA = 1


def host(identity, name, begin=0, end=10, parent=None, sequence=-1, thread=1, fwd_thread=0, own=None):
    """One event of the host, as torch's profiler has it; times in microseconds."""
    return SimpleNamespace(
        id=identity,
        name=name,
        device_type=DeviceType.CPU,
        is_user_annotation=name.startswith(collect.MODULE),
        time_range=SimpleNamespace(start=begin, end=end),
        self_cpu_time_total=end - begin if own is None else own,
        cpu_parent=parent,
        sequence_nr=sequence,
        thread=thread,
        fwd_thread=fwd_thread,
        linked_correlation_id=0,
    )


def kernel(name, begin, end, launched_by=0, *, annotation=False):
    """One event of the device, launched by a host event."""
    return SimpleNamespace(
        id=1000 + begin,
        name=name,
        device_type=DeviceType.CUDA,
        is_user_annotation=annotation,
        time_range=SimpleNamespace(start=begin, end=end),
        linked_correlation_id=launched_by,
    )


def test_an_operator_belongs_to_the_innermost_module_around_it():
    """Ranges nest: the inner name wins, and what is in none has none."""
    outer = host(1, collect.MODULE + "blocks.0")
    inner = host(2, collect.MODULE + "blocks.0.up", parent=outer)
    found = {e.name: e.module for e in collect.host_events([
        outer, inner, host(3, "aten::mm", parent=inner), host(4, "aten::add", parent=outer),
        host(5, "aten::sum"),
    ])}  # fmt: skip
    assert found == {"aten::mm": "blocks.0.up", "aten::add": "blocks.0", "aten::sum": ""}


def test_a_backward_operator_belongs_to_its_forward_operators_module():
    """The sequence number of the forward thread joins them, through the node that autograd runs."""
    module = host(1, collect.MODULE + "head")
    forward = host(2, "aten::linear", parent=module, sequence=7)
    node = host(3, "autograd::engine::evaluate_function: X", sequence=7, thread=2, fwd_thread=1)
    backward = host(4, "aten::mm", parent=host(5, "XBackward0", parent=node), thread=2)
    other = host(6, "aten::mul", sequence=7, thread=2, fwd_thread=9)
    events = {e.name: e.module for e in collect.host_events([module, forward, node, backward, other])}
    assert events == {"aten::linear": "head", "aten::mm": "head", "aten::mul": ""}


def test_kernels_take_the_module_of_what_launched_them_and_the_kind_of_their_name():
    """NCCL is communication, copies from the host are input, other copies copies; annotations are no work."""
    module = host(1, collect.MODULE + "up")
    launcher = host(2, "aten::mm", parent=module)
    events = list(
        collect.device_events([
            module, launcher, kernel("gemm", 0, 5, 2), kernel("Memcpy HtoD (Pageable -> Device)", 5, 6),
            kernel("Memcpy DtoD (Device -> Device)", 6, 7), kernel("Memset (Device)", 7, 8),
            kernel("ncclDevKernel_AllReduce", 8, 9), kernel("module: up", 0, 9, annotation=True),
        ], lambda event: event.linked_correlation_id)
    )  # fmt: skip
    assert [(e.kind, e.module) for e in events] == [
        ("compute", "up"),
        ("input", ""),
        ("copy", ""),
        ("copy", ""),
        ("communication", ""),
    ]
    assert (events[0].begin_ns, events[0].end_ns, events[0].own_ns) == (0, 5000, 5000)


@pytest.mark.parametrize(("period_s", "iterations"), [(1e-5, 5), (0.09, 3), (0.2, 1), (9.0, 1)])
def test_the_pass_is_short(period_s, iterations):
    """A third of a second's worth of iterations, at least one and at most five."""
    assert collect.iterations_for(period_s) == iterations


class Device:
    """A CPU that is always done."""

    kind = "cpu"

    def synchronize(self):
        """Return at once."""


def test_a_real_training_step_is_mapped_to_its_modules_and_traced(tmp_path):
    """A two-layer model: both layers appear, forward and backward; the hooks are gone afterwards."""
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
    batch = torch.randn(32, 64)
    seen = []

    def step(index, _mark):
        seen.append(index)
        model(batch).sum().backward()

    trace = tmp_path / "trace.json"
    found = collect.profile_steps(
        step, device=Device(), model=model, first_index=7, iterations=2, compiled=False, trace=trace
    )
    assert seen == [7, 8]
    assert (found.device, found.iterations, found.modules_reason) == ("cpu", 2, None)
    assert {name for name, _ in found.modules} >= {"0", "2"}
    assert 0 < found.busy_share <= 1
    backward = [o for o in found.operators if o.name == "aten::mm"]
    assert {o.module for o in backward} <= {"0", "2"}
    assert backward
    assert any(e.get("name") == "module: 0" for e in json.loads(trace.read_text())["traceEvents"])
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks


def test_a_compiled_model_gets_no_hooks_and_the_reason_is_said(tmp_path, monkeypatch):
    """Modules are unknown, with the reason; a trace that is too large is removed."""
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    monkeypatch.setattr(collect, "MOST_TRACE_BYTES", 10)
    trace = tmp_path / "trace.json"
    found = collect.profile_steps(
        lambda _index, _mark: model(torch.ones(2, 4)),
        device=Device(), model=model, first_index=0, iterations=1, compiled=True, trace=trace,
    )  # fmt: skip
    assert found.modules == ()
    assert "compiler" in found.modules_reason
    assert not trace.exists()
