"""The sandbox's papers: a CA made once and kept, and a certificate for its names signed by it. Keys are 0600."""

import os
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from shared.contracts.values import DAY, Instant

CA_DAYS = 3650
SERVER_DAYS = 90
_MARGIN = timedelta(days=1)


class Papers(Struct, frozen=True, kw_only=True):
    """Where the CA's certificate and the server's certificate and key lie (PEM)."""

    ca_file: Path
    certificate: Path
    key: Path


def papers(folder: Path, names: Iterable[str], *, now: Instant) -> Papers:
    """Return papers valid at `now` for localhost, 127.0.0.1 and `names`, keeping the CA that lies in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Papers(ca_file=folder / "ca.pem", certificate=folder / "server.pem", key=folder / "server.key")
    moment = datetime.fromtimestamp(now, UTC)
    authority, authority_key = _authority(folder, moment)
    key = ec.generate_private_key(ec.SECP256R1())
    wanted = dict.fromkeys(("localhost", "127.0.0.1", "::1", *names))
    certificate = _server(wanted, key, moment, authority=authority, authority_key=authority_key)
    write_private(found.key, _pem(key))
    found.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return found


def context(found: Papers) -> ssl.SSLContext:
    """Return the server side's TLS context."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(found.certificate, found.key)
    return made


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    fresh.replace(path)


def _authority(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return the CA in the folder if it is whole and valid, else a new one, written there."""
    kept = _kept(folder, now)
    if kept is not None:
        return kept
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Sandbox CA")
    builder = _builder(name, name, key.public_key(), now=now, days=CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(ca=True), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    write_private(folder / "ca.key", _pem(key))
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def _kept(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    try:
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    except (OSError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    valid = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - timedelta(days=SERVER_DAYS)
    return (certificate, key) if valid else None


def _server(
    names: Iterable[str],
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    *,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    builder = _builder(_name("localhost"), authority.subject, key.public_key(), now=now, days=SERVER_DAYS)
    builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(ca=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return builder.add_extension(issuer, critical=False).sign(authority_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _MARGIN)
        .not_valid_after(now + timedelta(seconds=days * DAY))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
