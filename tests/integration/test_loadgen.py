"""MLPerf LoadGen from the command line: a valid scenario, its files, its audit and its report."""

import pytest

pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen, of the extra serve, is not installed")


def test_server_ends_valid(joulemark):
    """The rate is found by search, LoadGen's files lie beside the record, and the audit finds nothing."""
    done = joulemark(
        "run", "workload=gpt", "workload.mode=serve", "workload.shape.layers=1", *joulemark.TINY,
        "serve.loadgen=server", "serve.ttft_limit_s=60", "serve.tpot_limit_s=60", "serve.good_share=0.5",
        "serve.prompt_tokens=9", "serve.output_tokens=3", "run.name=mlperf",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = joulemark.records("mlperf")
    said = record["evidence"]["loadgen"]
    assert said["valid"], said
    assert len(said["tried"]) > 1
    (log,) = (joulemark.folder / "results").glob("mlperf/*/*/*/mlperf_log_detail.txt")
    assert '"result_validity", "value": "VALID"' in log.read_text()
    for words in (("bundle", "mlperf", "-o", "mlperf.tar"), ("verify", "mlperf.tar")):
        done = joulemark(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    done = joulemark("report", "mlperf", "--format", "md", "-o", "shown")
    assert done.returncode == 0, done.stderr
    (report,) = (joulemark.folder / "shown").glob("*.md")
    assert "MLPerf LoadGen" in report.read_text()
