"""The certificates of a group's exports over TLS: an authority of the group's own, and what it signs.

They lie in `tls/` of the copy's directory. The authority signs the certificate that the engine shows and one
for each client that the operator lets in; whoever holds one made for another group is a stranger. A client's
key is made here, handed over once and kept nowhere. Which clients are let in stands in the copy's intent, by
fingerprint, so one can be taken back. Keys are P-256 and certificates say all that QEMU and GnuTLS look for;
none has an end that a wrong clock could cross.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from farshore.errors import FarshoreError
from farshore.model.copy_config import TLS_FILES
from farshore.node import documents
from farshore.node.identity import fingerprint
from farshore.node.os_errors import as_farshore_error

_AUTHORITY_KEY = "tls/ca-key.pem"
_LONGEST_NAME = 64  # the protocol's bound of a common name


@dataclass(frozen=True, slots=True)
class Issued:
    """What a client needs, all PEM, and what it is known by from then on."""

    authority: str
    certificate: str
    key: str
    fingerprint: str


def prepare(directory: Path, group: str, names: Iterable[str]) -> None:
    """Sees to it that the engine can prove itself under all of `names`, hosts and addresses, and under those
    that it could before. Raises FarshoreError; what was there still is."""
    key, authority = _authority(directory, group)
    where, key_file = directory / TLS_FILES[1], directory / TLS_FILES[2]
    known = _names_in(where) if where.exists() else set()
    wanted = known | set(names)
    if wanted == known and key_file.exists():
        return
    if not key_file.exists():
        documents.write_bytes(key_file, _pem(generate_private_key(SECP256R1())))
    # The key stays, so that it fits the old certificate as well as the new one.
    own = _load_key(key_file)
    shown = x509.SubjectAlternativeName([_name(each) for each in sorted(wanted)])
    subject = _Subject(f"farshore {group}", ExtendedKeyUsageOID.SERVER_AUTH, shown)
    certificate = _signed(own, subject, (key, authority))
    documents.write_bytes(where, certificate.public_bytes(serialization.Encoding.PEM))


def issue(directory: Path, group: str, client: str) -> Issued:
    """A key and a certificate for a client. Raises FarshoreError."""
    key, authority = _authority(directory, group)
    own = generate_private_key(SECP256R1())
    certificate = _signed(own, _Subject(client, ExtendedKeyUsageOID.CLIENT_AUTH), (key, authority))
    pem = serialization.Encoding.PEM
    return Issued(
        authority.public_bytes(pem).decode("ascii"),
        certificate.public_bytes(pem).decode("ascii"),
        _pem(own).decode("ascii"),
        fingerprint(certificate.public_bytes(serialization.Encoding.DER)),
    )


@dataclass(frozen=True, slots=True)
class _Subject:
    """Whom a certificate is for and what it is good for."""

    name: str
    purpose: x509.ObjectIdentifier
    names: x509.SubjectAlternativeName | None = None


def _authority(directory: Path, group: str) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    """The group's authority, made at the first call: its key first, which nothing hangs on yet."""
    key_file, file = directory / _AUTHORITY_KEY, directory / TLS_FILES[0]
    if not file.exists():
        key = generate_private_key(SECP256R1())
        documents.write_bytes(key_file, _pem(key))
        documents.write_bytes(file, _self_signed(key, f"farshore exports of {group}"))
    return _load_key(key_file), _load_certificate(file)


def _self_signed(key: EllipticCurvePrivateKey, name: str) -> bytes:
    subject = _common_name(name)
    builder = _builder(subject, subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _signed(
    key: EllipticCurvePrivateKey, subject: _Subject, by: tuple[EllipticCurvePrivateKey, x509.Certificate]
) -> x509.Certificate:
    authority_key, authority = by
    builder = _builder(_common_name(subject.name), authority.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([subject.purpose]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(issuer, critical=False)
    if subject.names is not None:
        builder = builder.add_extension(subject.names, critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    # A client of QEMU's wants to see key encipherment, which these keys are never used for.
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=not signs,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_LONGEST_NAME])])


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _names_in(path: Path) -> set[str]:
    extension = _load_certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(each.value) for each in extension.value}


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(path: Path) -> EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise as_farshore_error(error, path) from error
    except (ValueError, TypeError) as error:
        raise documents.damaged(path, error) from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise FarshoreError("state-damaged", f"{path} holds a key of another kind")
    return key


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise as_farshore_error(error, path) from error
    except ValueError as error:
        raise documents.damaged(path, error) from error
