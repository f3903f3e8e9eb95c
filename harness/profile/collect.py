"""Run some steps under torch's profiler and turn its events into ours, each with its module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.profile.facts import Event, Kind, ProfileFacts, count

if TYPE_CHECKING:
    from torch import nn

    from harness.devices.base import Device

MODULE = "module: "
"""Start of the names of the ranges that name which module an operator belongs to."""
SPAN = "joulemark span"
"""The range around all profiled steps."""
SECONDS, MOST_ITERATIONS = 0.3, 5
MOST_TRACE_BYTES = 64 * 2**20
_NOT_WORK = ("autograd::engine", "Optimizer.", MODULE)
_COMPILED = ("Torch-Compiled Region", "## Call CompiledFxGraph", "CompiledFunction")
LauncherOf = Callable[[Any], int]
"""Gives the id of the host event that launched an event of the device."""
_CPU_COPIES = ("aten::copy_", "aten::clone", "aten::_to_copy")


class UnreadableProfileError(RuntimeError):
    """The steps ran, and this torch's events cannot be read. The message is one line."""


def iterations_for(period_s: float) -> int:
    """Return how many iterations to profile: a third of a second's worth, at least one, at most five."""
    return max(1, min(MOST_ITERATIONS, int(SECONDS / period_s)))


def profile_steps(
    step: Callable[[int, Callable[[str], None]], object],
    *,
    device: Device,
    model: nn.Module,
    first_index: int,
    iterations: int,
    compiled: bool,
    trace: Path | None = None,
    while_busy: Callable[[], None] = lambda: None,
) -> ProfileFacts:
    """Profile some steps.

    Args:
        step: one iteration.
        device: an opened device.
        model: whose modules operators are mapped to.
        first_index: index of the first profiled step.
        iterations: how many.
        compiled: True keeps hooks off the model, which would be compiled again for them.
        trace: write a Chrome trace here; one of over `MOST_TRACE_BYTES` is removed again.
        while_busy: called when the last step has been launched, before waiting for the device.

    Raises:
        UnreadableProfileError: the steps ran, and their events are not as this torch was known to give them.
    """
    import torch
    from torch.autograd.profiler import profile

    accelerated = device.kind == "cuda"
    with ExitStack() as stack:
        if not compiled:
            stack.enter_context(named_modules(model))
        # torch.profiler's own front end imports the compiler first, which takes a second.
        running = stack.enter_context(profile(use_kineto=True, use_device="cuda" if accelerated else None))
        with torch.profiler.record_function("first"):
            pass  # the first range of a process takes milliseconds
        with torch.profiler.record_function(SPAN):
            for index in range(first_index, first_index + iterations):
                step(index, lambda _mark: None)
            while_busy()
            device.synchronize()
    if trace is not None:
        running.export_chrome_trace(str(trace))
        if trace.stat().st_size > MOST_TRACE_BYTES:
            trace.unlink()
    try:
        events, span_ns = _read(running, accelerated=accelerated)
    except (AttributeError, TypeError, StopIteration) as error:
        words = f"torch {torch.__version__} gives its profiler's events in another form"
        raise UnreadableProfileError(f"{words}: {error!r}") from error
    return count(
        events,
        span_ns,
        device=device.kind,
        iterations=iterations,
        modules_reason="a model that was given to the compiler takes no hooks" if compiled else None,
    )


def _read(running: Any, *, accelerated: bool) -> tuple[list[Event], tuple[int, int]]:
    """Return a profile's events, and begin and end of the range around all steps in ns."""
    found = list(running.function_events or ())
    span = next(e.time_range for e in found if e.name == SPAN and e.device_type.name == "CPU")
    events = list(device_events(found, launcher_of(running)) if accelerated else host_events(found))
    return events, (_ns(span.start), _ns(span.end))


def host_events(found: Iterable[Any]) -> Iterator[Event]:
    """Yield the operators of a profile on the CPU, from `FunctionEvent`s."""
    found = list(found)
    modules = modules_of(found)
    for event in found:
        if _is_operator(event.name):
            yield Event(
                event.name,
                _host_kind(event.name),
                _ns(event.time_range.start),
                _ns(event.time_range.end),
                _ns(event.self_cpu_time_total),
                modules.get(event.id, ""),
            )


def launcher_of(running: Any) -> LauncherOf:
    """Return what says which host event launched an event of the device, of a profile that has ended.

    From torch 2.13 on events carry it. Before, only the profiler's raw events do: they are joined to the
    others by their start, device and stream.
    """
    found = running.function_events
    if all(hasattr(event, "linked_correlation_id") for event in found):
        return lambda event: int(event.linked_correlation_id)
    raw = running.kineto_results
    began_ns = raw.trace_start_ns()
    launchers = {
        (event.start_ns() - began_ns, event.device_index(), event.device_resource_id()): int(
            event.linked_correlation_id()
        )
        for event in raw.events()
        if event.device_type().name != "CPU"
    }
    return lambda event: launchers.get(
        (_ns(event.time_range.start), event.device_index, event.device_resource_id), 0
    )


def device_events(found: Iterable[Any], launcher: LauncherOf) -> Iterator[Event]:
    """Yield the kernels and copies of a profile on an accelerator, from `FunctionEvent`s."""
    found = list(found)
    modules = modules_of(found)
    for event in found:
        if event.device_type.name == "CPU" or event.is_user_annotation:
            continue
        begin_ns, end_ns = _ns(event.time_range.start), _ns(event.time_range.end)
        module = modules.get(launcher(event), "")
        yield Event(event.name, _device_kind(event.name), begin_ns, end_ns, end_ns - begin_ns, module)


def modules_of(found: Sequence[Any]) -> dict[int, str]:
    """Return the module of each host event by its id: the innermost range around it.

    A backward operator belongs to the module of the forward operator with its sequence number.
    """
    forward: dict[tuple[int, int], str] = {}
    modules: dict[int, str] = {}
    for event in found:
        if event.device_type.name != "CPU":
            continue
        module = _enclosing(event)
        if module is not None:
            modules[event.id] = module
            if event.sequence_nr >= 0:
                forward.setdefault((event.thread, event.sequence_nr), module)
    for event in found:
        if event.device_type.name == "CPU" and event.id not in modules:
            module = _of_forward(event, forward)
            if module is not None:
                modules[event.id] = module
    return modules


def _enclosing(event: Any) -> str | None:
    while event is not None:
        if event.name.startswith(MODULE):
            return str(event.name.removeprefix(MODULE))
        event = event.cpu_parent
    return None


def _of_forward(event: Any, forward: dict[tuple[int, int], str]) -> str | None:
    while event is not None:
        module = forward.get((event.fwd_thread, event.sequence_nr)) if event.sequence_nr >= 0 else None
        if module is not None:
            return module
        event = event.cpu_parent
    return None


def _is_operator(name: str) -> bool:
    if name.startswith(_COMPILED):
        return True
    return "::" in name and not name.startswith(_NOT_WORK)


def _host_kind(name: str) -> Kind:
    if name.startswith(("c10d::", "gloo:", "mpi:")):
        return "communication"
    if name.startswith("enumerate(DataLoader"):
        return "input"
    return "copy" if name in _CPU_COPIES else "compute"


def _device_kind(name: str) -> Kind:
    low = name.lower()
    if "nccl" in low:
        return "communication"
    if low.startswith("memcpy htod"):
        return "input"
    return "copy" if low.startswith(("memcpy", "memset")) else "compute"


@contextmanager
def named_modules(model: nn.Module) -> Iterator[None]:
    """Put a range with its name around every module's forward pass."""
    from torch.profiler import record_function

    open_ranges: list[Any] = []

    def enter(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            open_ranges.append(record_function(MODULE + name))
            open_ranges[-1].__enter__()

        return hook

    def leave(*_: object) -> None:
        open_ranges.pop().__exit__(None, None, None)

    handles = []
    for name, module in model.named_modules():
        if name:
            handles += [
                module.register_forward_pre_hook(enter(name)),
                module.register_forward_hook(leave, always_call=True),
            ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _ns(microseconds: float) -> int:
    return round(microseconds * 1000)
