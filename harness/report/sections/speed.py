"""Who is faster than whom: one test decides the ranks, the verdict and what each change buys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.records.headline import CLEAN, RAW, iteration_metric
from harness.report.sections.obstacles import obstacle
from harness.report.trials import Trial

if TYPE_CHECKING:
    from harness.stats import Comparison, TukeyTest


class SpeedTest:
    """Tukey's test over the trials of a group that can be ranked (docs/method.md, section 3).

    On the CPU throughput is held against throughput without disturbance, where that is known of all.

    Args:
        members: Trials of one workload, size and mode.
        metric_id: The throughput that the group is ranked by.
    """

    def __init__(self, members: Sequence[Trial], metric_id: str) -> None:
        self.metric_id = metric_id
        self.ranked = [t for t in members if not obstacle(t, t.result.estimates.get(metric_id))]
        self._index = {id(t): i for i, t in enumerate(self.ranked)}
        clean = [_undisturbed(t, metric_id) for t in self.ranked]
        self.undisturbed = bool(clean) and all(clean)
        values = clean if self.undisturbed else [t.result.values(metric_id) for t in self.ranked]
        self._test: TukeyTest | None = None
        if values:
            from harness.stats import TukeyTest  # numpy, which importing the report does not need

            self._test = TukeyTest(values, direction="higher")

    def place(self, trial: Trial) -> tuple[int, int] | None:
        """Return the best and worst rank that are possible; None where a trial cannot be ranked."""
        i = self._index.get(id(trial))
        return None if i is None or self._test is None else self._test.place(i)

    def compare(self, base: Trial, head: Trial) -> Comparison | None:
        """Compare two trials, `better` being faster; None where one of them cannot be ranked."""
        i, j = self._index.get(id(base)), self._index.get(id(head))
        return None if i is None or j is None or self._test is None else self._test.compare(i, j)


def _undisturbed(trial: Trial, metric_id: str) -> tuple[float, ...]:
    """Return each replica's throughput at its undisturbed iteration time; nothing where that is not known."""
    replicas = trial.result.replicas()
    if iteration_metric(replicas) != CLEAN:
        return ()
    found = []
    for record in replicas:
        rate, raw, clean = (record.value(m) for m in (metric_id, RAW, CLEAN))
        if rate and raw and clean:
            found.append(rate * raw / clean)
    return tuple(found) if len(found) >= 2 else ()
