"""Record what torch's profiler makes of one small training step, as tests/golden/profiles keeps it.

Run it by the Python of each torch: `python tools/record_profile.py > tests/golden/profiles/torch-X.Y.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch.autograd.profiler import profile

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness.profile.collect import SPAN, named_modules


def main() -> None:
    """Print the events of a step of two layers over (2, 3, 8), whose products are reshaped."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8, bias=False), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    batch = torch.randn(2, 3, 8)
    model(batch).sum().backward()
    with named_modules(model), profile(use_kineto=True) as running, torch.profiler.record_function(SPAN):
        model(batch).sum().backward()
    events = list(running.function_events or ())
    places = {id(event): number for number, event in enumerate(events)}
    rows = [
        {
            "id": event.id,
            "name": event.name,
            "device": event.device_type.name,
            "begin_us": event.time_range.start,
            "end_us": event.time_range.end,
            "self_us": event.self_cpu_time_total,
            "parent": places.get(id(event.cpu_parent)),
            "sequence_nr": event.sequence_nr,
            "thread": event.thread,
            "fwd_thread": event.fwd_thread,
        }
        for event in events
    ]
    print(json.dumps({"torch": torch.__version__, "events": rows}, separators=(",", ":")))


if __name__ == "__main__":
    main()
