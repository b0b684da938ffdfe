"""For all tests: no time limit of hypothesis' own, which only finds out how busy the machine is; and what several share."""

import pytest
from hypothesis import settings

settings.register_profile("aftercall", deadline=None)
settings.load_profile("aftercall")


@pytest.fixture
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading those of the system takes longer than most tests of mail."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
