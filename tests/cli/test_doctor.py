"""`cudagraph doctor`."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from cudagraph.cli import checks, doctor
from cudagraph.cli.checks import Check, Status
from cudagraph.engine.devices.cuda import cudnn_library


def test_a_machine_with_a_compiler_is_ready(capsys):
    assert doctor.run(as_json=False) == 0
    printed = capsys.readouterr().out
    assert "ready: cudagraph demo" in printed
    assert all(word in printed for word in ("Python", "numpy", "g++", "NVRTC", "NVIDIA driver", "host", "folder"))


def test_json_holds_the_same(capsys):
    assert doctor.run(as_json=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert {"python", "host", "cuda", "devices", "cache"} <= set(report)
    assert {"name": "host", "status": "ok"}.items() <= next(c for c in report["devices"] if c["name"] == "host").items()


def test_what_is_missing_comes_with_what_to_type(monkeypatch, capsys):
    monkeypatch.setattr(checks, "_version", lambda package: None)
    assert doctor.run(as_json=False) == 1
    printed = capsys.readouterr().out
    assert "pip install numpy" in printed and "cudagraph[cu13]" in printed
    assert "not ready" in printed


def test_cudnn_is_named_with_its_version_or_with_what_to_type(monkeypatch):
    def one() -> Check:
        return next(check for check in checks.cuda_checks() if "cuDNN" in check.name)

    monkeypatch.setattr(cudnn_library, "library_name", lambda: "libcudnn_that_is_absent.so")
    assert (one().status, "cudagraph[cudnn13]" in one().advice) == (Status.MISSING, True)
    monkeypatch.setattr(cudnn_library, "find", lambda: SimpleNamespace(version_text="9.28.1"))
    assert (one().status, one().found, one().advice) == (Status.OK, "cuDNN 9.28.1", "")


def test_no_device_at_all_is_an_error(monkeypatch):
    monkeypatch.setattr(checks, "_device_check", lambda name: Check(name, Status.MISSING, "", "buy one"))
    assert [(check.status, check.advice) for check in checks.device_checks()] == [(Status.ERROR, "buy one")] * 2


def test_without_a_compiler_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(checks.shutil, "which", lambda name: None)
    monkeypatch.setattr(checks, "_version", lambda package: None)
    assert all("cudagraph[host]" in check.advice for check in checks.compiler_checks())


@pytest.mark.parametrize(("folder", "status"), [("0", "missing"), ("file/inside", "missing"), ("new/one", "ok")])
def test_cache_folder(folder, status, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CUDAGRAPH_CACHE", folder if folder == "0" else str(tmp_path / folder))
    check = checks.cache_checks()[0]
    assert (check.status, bool(check.advice)) == (status, status == "missing")


def test_misspelt_variables_are_pointed_out(monkeypatch):
    monkeypatch.setenv("CUDAGRAPH_DEVISE", "host")
    assert any("did you mean CUDAGRAPH_DEVICE" in check.found for check in checks.cache_checks())
