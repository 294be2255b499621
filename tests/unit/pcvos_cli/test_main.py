"""The environment is set before torch is loaded."""

import os
import sys

import pytest

from pcvos_cli import __main__ as entry


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, entry.SPIN_COUNT),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None),
    ],
)
def test_threads_spin_for_as_long_as_the_user_wants(
    given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, given.get(name, ""))
        if name not in given:
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["pcvos", "--version"])
    monkeypatch.setattr(entry, "raise_on_sigterm", lambda: None)
    with pytest.raises(SystemExit):
        entry.main()
    assert os.environ.get("GOMP_SPINCOUNT") == expected
