"""The first words of a verdict over disturbed trials."""

from types import SimpleNamespace

from harness.report.sections.busy_host import busy_host

QUIET = {"delay_share": 0.001, "others_cpus": 0.02, "cpus": 2}


def trial(*contentions):
    """A trial whose replicas saw this of the host."""
    records = [SimpleNamespace(evidence={"contention": c} if c is not None else {}) for c in contentions]
    return SimpleNamespace(result=SimpleNamespace(replicas=lambda: records))


def busy(others):
    """A replica beside others."""
    return {"delay_share": 0.4, "others_cpus": others, "cpus": 2}


def test_a_busy_machine_is_named_first_with_what_others_used():
    """All trials beside 1.4 of 2 CPUs: the sentence says both, and what to do."""
    said = busy_host([trial(busy(1.4)), trial(QUIET, busy(1.4))])
    assert said.startswith("The machine was busy: others used 1.4 of 2 CPUs. All 2 trials")
    assert "again" in said


def test_a_part_is_counted_and_its_worst_is_named():
    """Two of three trials, at most 1.9 CPUs."""
    said = busy_host([trial(busy(0.5)), trial(busy(1.9), QUIET), trial(QUIET)])
    assert "at most 1.9 of 2 CPUs" in said
    assert "2 of 3 trials" in said


def test_a_quiet_machine_and_one_that_tells_nothing_are_not_called_busy():
    """No evidence, unknown evidence and quiet evidence alike."""
    unknown = {"delay_share": None, "others_cpus": None, "cpus": 2}
    assert busy_host([trial(QUIET), trial(None), trial(unknown)]) is None
    assert busy_host([]) is None


def test_delay_without_knowing_the_others_is_busy_all_the_same():
    """Threads waited; who had the CPUs is unknown and not made up."""
    said = busy_host([trial({"delay_share": 0.3, "others_cpus": None, "cpus": 2})])
    assert said.startswith("The machine was busy. All 1 trial")


def test_threads_that_waited_for_nobody_are_not_said_to_have_waited_for_others():
    """Their wait is evidence, but not of 0.0 CPUs."""
    said = busy_host([trial({"delay_share": 0.3, "others_cpus": 0.01, "cpus": 2})])
    assert said.startswith("The machine was busy, though others used no CPU worth naming: threads")
