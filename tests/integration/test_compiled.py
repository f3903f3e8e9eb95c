"""What the compiler made of a model is said where its numbers stand."""

from __future__ import annotations


def test_an_lstm_that_was_not_compiled_says_so_in_its_record_and_beside_its_result(joulemark):
    """The compiler leaves an LSTM alone without a word; its eager speed is not taken for compiled speed."""
    done = joulemark(
        "run", "workload=lstm", "optimize=compile", "measure=quick", "device=cpu", "power=none",
        "run.name=compiled", "measure.seconds=0.2", "measure.warmup_s=0", "measure.warmup_cap_s=0.05",
        "measure.steady_window_s=0.01",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = joulemark.records("compiled")
    assert record["evidence"]["compiled"] == "not compiled"
    done = joulemark("report", "compiled", "--format", "md", "-o", "out")
    assert done.returncode == 0, done.stderr
    (report,) = (joulemark.folder / "out").glob("*.md")
    assert "The compiler made nothing of the model" in report.read_text()
