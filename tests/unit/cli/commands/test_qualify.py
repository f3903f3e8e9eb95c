"""`joulemark qualify` as a command: what it prints, keeps and returns; `doctor` knows of it."""

import json
from argparse import Namespace

import pytest

from harness.cli.commands import doctor, qualify
from harness.identity.machine import identify
from harness.records import certificates, open_store
from harness.records.schema import Certificate, Check, MeasuredCeiling


@pytest.fixture
def certify(monkeypatch, tmp_path):
    """Replace the qualification by one whose outcome the test chooses, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def outcome(status):
        def scripted(device, identity, *, quick, on_check, on_stage):
            check = Check(id="timer.tick", what="The step.", status=status, measured=41, unit="ns")
            on_stage("instrument")
            on_check(check)
            return Certificate(
                machine_id=identity.machine_id, code_id=identity.code_id,
                device_kind=device.kind, device_name="A CPU",
                driver=None, made_at="2026-01-31T12:00:00Z", wall_s=1.0, quick=quick, checks=(check,),
                ceilings=(MeasuredCeiling(id="bandwidth.triad", value=1e10, unit="B/s", method="triad"),),
            )  # fmt: skip

        monkeypatch.setattr(qualify, "certify", scripted)

    return outcome


def options(**changes):
    """The command's options."""
    return Namespace(
        **(
            {"device": "cpu", "quick": False, "json": False, "results": "results", "quiet_wait": 0.0}
            | changes
        )
    )


@pytest.mark.parametrize(("status", "code"), [("pass", 0), ("not available", 0), ("fail", 1)])
def test_a_failed_check_gives_exit_code_1_and_the_certificate_is_kept(certify, capsys, status, code):
    """Whatever the outcome, the certificate is on disk and named in the last line but one."""
    certify(status)
    assert qualify.main(options()) == code
    (kept,), torn = certificates.read(open_store("results"), identify().machine_id)
    assert torn == []
    assert kept.checks[0].status == status
    out = capsys.readouterr().out
    assert f"certificate {certificates.certificate_id(kept)}" in out
    assert "10.0 GB/s" in out


def test_json_is_the_certificate_and_nothing_else(certify, capsys):
    """Standard output is one JSON document with its id, path, checks and ceilings."""
    certify("pass")
    qualify.main(options(json=True, quick=True))
    told = json.loads(capsys.readouterr().out)
    assert told["quick"] is True
    assert [c["id"] for c in told["checks"]] == ["timer.tick"]
    assert told["ceilings"][0]["value"] == 1e10
    assert told["path"].endswith(f"{told['certificate']}.json")


def test_doctor_names_the_certificate_or_how_to_make_one(certify, capsys):
    """Without one it says so; a passed one is a line that works, with its id; a failed check does not."""
    identity = identify()

    def line():
        return next(c for c in doctor._certificates(identity) if c.what == "certificate cpu")

    assert (line().works, line().remedy) == (False, "joulemark qualify --device cpu")
    certify("pass")
    qualify.main(options(json=True))
    assert line().works
    assert json.loads(capsys.readouterr().out)["certificate"] in line().detail
    certify("fail")
    certificates.write(
        open_store("results"),
        qualify.certify(
            qualify.target("cpu"), identity, quick=False, on_check=lambda _: None, on_stage=lambda _: None
        ).model_copy(update={"made_at": "2026-02-01T12:00:00Z"}),
    )
    assert not line().works
    assert "failed: timer.tick" in line().detail
