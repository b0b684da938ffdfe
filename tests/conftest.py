"""For all tests: no time limit of hypothesis' own, which only finds out how busy the machine is; and what several share."""

import pytest
from hypothesis import settings

from extent import SEED

settings.register_profile("aftercall", deadline=None)
settings.load_profile("aftercall")


@pytest.fixture
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading those of the system takes longer than most tests of mail."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With -q, too: what a failure of a test with dice is seen again by. `extent` says what of it is."""
    terminalreporter.write_line(f"AFTERCALL_SEED={SEED}")
