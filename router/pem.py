"""PEM in a configuration: keys and certificates, by the file or by its content, as `${file:…}` makes it.

No message quotes content: somebody will write a private key where a certificate belongs. `certificates` and
`private_key` raise `ImportError` where the package cryptography is not installed.
"""

from __future__ import annotations

import errno
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from router.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

NOT_INSTALLED: Final = f"needs the package cryptography; install it: {sys.executable} -m pip install cryptography"

_BEGIN: Final = "-----BEGIN"
#: How DER begins: a sequence, whose length takes two bytes.
_DER: Final = b"\x30\x82"
#: Characters of the longest name that a file can have on the usual systems.
_LONGEST_NAME: Final = 255


def check_ca_file(ca_file: Path) -> None:
    """Raises `ConfigError` where no HTTP client could be opened with it."""
    trust_ca_file(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file)


def trust_ca_file(context: ssl.SSLContext, ca_file: Path) -> None:
    """Believe the authorities in this file, too. Raises `ConfigError`."""
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ValueError) as error:  # SSLError is both
        missing = getattr(error, "strerror", None) or "no file can have this name"
        cause = "there are none in PEM" if isinstance(error, ssl.SSLError) else missing
        message = f"no certificates can be read from {str(ca_file)!r}: {cause}; write the path of a PEM file"
        instead = f"is no file that certificates can be read from: {cause}; write the path of a PEM file"
        raise ConfigError(message, at=("ca_file",), instead=instead) from error


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """TLS for a client that accepts the system's authorities, and one more. Raises `ConfigError` where that is none."""
    context = ssl.create_default_context()
    if ca_file is not None:
        trust_ca_file(context, ca_file)
    return context


def not_accepted(whose: str, error: Exception) -> str:
    """Why a server's certificate was not accepted, and what to do about that."""
    cause = (getattr(error, "verify_message", None) or type(error).__name__).rstrip(".")
    match getattr(error, "verify_code", None):
        case 62 | 64:  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
            advice = "write the name that is in the certificate"
        case 10:  # X509_V_ERR_CERT_HAS_EXPIRED
            advice = "who runs the server has to renew it"
        case 9:  # X509_V_ERR_CERT_NOT_YET_VALID
            advice = "look at the clock of this machine"
        case _:
            advice = "name its authority in ca_file"
    return f"the certificate of {whose} was not accepted: {cause}; {advice}"


def certificates(value: str, folder: Path) -> list[Certificate]:
    """One at least, in their order."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        data = _content(value, folder)
    except OSError as error:
        said = f"{error.strerror}; mend the path or its permissions"
        message = f"cannot read {_shown(value, folder)}: {said}"
        raise ConfigError(message, instead=f"names no file that can be read: {said}") from None
    try:
        return load_pem_x509_certificates(data)
    except ValueError:
        message = f"there is no certificate in PEM in {_shown(value, folder)}{_instead(data)}"
        raise ConfigError(message, instead=f"has no certificate in PEM{_instead(data)}") from None


def private_key(value: str, folder: Path) -> PrivateKeyTypes:
    """Not encrypted. The value is never quoted, not even where it looks like a path."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(_content(value, folder), None)
    except OSError as error:
        message = f"is no private key in PEM, and names no file that can be read: {error.strerror}; mend the path"
    except TypeError:  # it wants a password
        message = "the key is encrypted; write one without a password, as `openssl pkey -in KEY -out PLAIN` makes it"
    except (ValueError, UnsupportedAlgorithm):
        message = "there is no private key in PEM; write its file, or its content as ${file:key.pem}"
    raise ConfigError(message, instead=message)


def file(value: str) -> Path | None:
    """The file that the value names; None where it is PEM itself, or can be no name."""
    return None if _BEGIN in value or "\0" in value else Path(value)


def _content(value: str, folder: Path) -> bytes:
    """Raises `OSError` where it is neither PEM nor a file that can be read."""
    if _BEGIN in value:
        return value.encode()
    if (named := file(value)) is None:
        raise OSError(errno.EINVAL, "no file can have this name")
    return (folder / named).read_bytes()


def _shown(value: str, folder: Path) -> str:
    if _BEGIN in value or len(value.splitlines()) > 1 or len(value) > _LONGEST_NAME:
        return "the text that is written there"
    return repr(str(folder / value))


def _instead(data: bytes) -> str:
    """What it has, as far as that is easily said."""
    if data.startswith(_DER):
        return "; it is DER: `openssl x509 -inform der -in FILE -out FILE.pem` makes PEM of it"
    return "; it has a private key, which belongs elsewhere" if b"PRIVATE KEY" in data else ""
