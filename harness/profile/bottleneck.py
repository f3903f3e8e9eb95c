"""What bounds a piece of work: a pure function over counted facts and measured ceilings.

Every candidate explains a share of the time; the verdict is the largest, if it explains enough
(docs/method.md, section 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.profile.facts import ProfileFacts
from harness.stats.roofline import Placement

Bound = Literal["compute", "memory", "launch", "communication", "input", "power", "undecided"]
ENOUGH = 0.3
"""The share of the time that the verdict must explain."""
MOST = 0.5
"""What it must explain where no ceilings are known: then nothing else can explain more."""
_TEXTS = {
    "compute": "the counted FLOPs alone take {share:.0%} of the time at the measured arithmetic ceiling",
    "memory": "the least memory traffic alone takes {share:.0%} of the time at the measured bandwidth",
    "launch": "the device waits {share:.0%} of the time to be given work",
    "communication": "communication that nothing hides takes {share:.0%} of the time",
    "input": "waiting for input data takes {share:.0%} of the time",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What bounds the work, and the evidence for it."""

    bound: Bound
    shares: dict[str, float]
    """By candidate, the share of the time that it explains; one that is not known is absent."""
    evidence: tuple[str, ...]
    """Sentences, the weightiest first."""


def bottleneck(
    facts: ProfileFacts, placement: Placement | None, *, power_capped: bool | None = None
) -> Verdict:
    """Judge what bounds the work.

    Args:
        facts: of the profile pass.
        placement: under the measured ceilings; None where there are none, and then neither compute nor
            memory can be the verdict.
        power_capped: whether the device lowered its clock to stay within its power limit while it worked;
            None is not known.
    """
    shares = {
        "launch": facts.idle_share,
        "communication": facts.exposed_communication_share,
        "input": facts.input_share,
    }
    if placement is not None:
        shares |= {"compute": placement.compute_share, "memory": placement.memory_share}
    ordered = sorted(shares, key=lambda name: -shares[name])
    evidence = [_TEXTS[name].format(share=shares[name]) for name in ordered if shares[name] >= 0.005]
    largest = ordered[0]
    needed = ENOUGH if placement is not None else MOST
    if placement is not None:
        evidence.append(
            f"the device is busy {facts.busy_share:.0%} of the time, and the work as a whole reaches "
            f"{placement.share:.1%} of its ceiling"
        )
    if facts.operators:
        first = facts.operators[0]
        where = f" in {first.module}" if first.module else ""
        evidence.append(f"the longest operator, {first.name}{where}, takes {first.share:.0%} of the work")
    if placement is None:
        evidence.append("no ceilings were measured: qualify the device to tell compute from memory")
    if power_capped:
        evidence.insert(0, "the device lowered its clock to stay within its power limit")
    if shares[largest] < needed:
        evidence.insert(0, f"no candidate explains {needed:.0%} of the time")
        return Verdict("undecided", shares, tuple(evidence))
    if power_capped and largest in {"compute", "memory"}:
        return Verdict("power", shares, tuple(evidence))
    return Verdict(largest, shares, tuple(evidence))  # type: ignore[arg-type]
