"""An authority of our own, and the one certificate that it has made."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "The rig's own root"


@dataclass(frozen=True)
class Authority:
    """An authority's certificate; and a server's, by that authority, with its key. All as PEM."""

    root: str
    certificate: str
    key: str


def made_authority(host: str) -> Authority:
    """A new authority, and a certificate for a host's name or address, good for a day."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    key = server.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Authority(
        root=_signed(NAME, authority, authority, x509.BasicConstraints(ca=True, path_length=None)),
        certificate=_signed(host, server, authority, x509.SubjectAlternativeName([_name_of(host)])),
        key=key.decode(),
    )


def _name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    authority: ec.EllipticCurvePrivateKey,
    extension: x509.BasicConstraints | x509.SubjectAlternativeName,
) -> str:
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(authority, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()
