"""The profile pass, apart from the timing pass: where the time goes, and what bounds the work."""

from harness.profile.bottleneck import Verdict, bottleneck
from harness.profile.facts import Event, OperatorTime, ProfileFacts, count

__all__ = ["Event", "OperatorTime", "ProfileFacts", "Verdict", "bottleneck", "count"]
