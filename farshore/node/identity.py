"""Who this node is: an Ed25519 key and a certificate that it signed itself.

The node's id is the SHA-256 of the certificate's DER form, as lowercase hex. Nobody vouches for a
certificate: peers learn it at pairing and pin it. It therefore has no end of validity that a wrong
clock could cross, and is no certificate authority: it can sign nothing but its own handshakes.
Key and certificate are readable by their owner alone.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from farshore.errors import FarshoreError
from farshore.node import documents
from farshore.node.paths import Paths


@dataclass(frozen=True, slots=True)
class Identity:
    """The node's own certificate; the key stays in its file."""

    fingerprint: str
    certificate: str
    """PEM."""
    certificate_path: Path
    key_path: Path

    def sign(self, message: bytes) -> bytes:
        """64 bytes of Ed25519 signature with the node's key. Raises FarshoreError `state-damaged`."""
        return _load_key(self.key_path).sign(message)


def fingerprint(der: bytes) -> str:
    """The id that belongs to a certificate."""
    return hashlib.sha256(der).hexdigest()


def fingerprint_of_pem(pem: str) -> str:
    """Raises FarshoreError `protocol` where the text is no certificate."""
    try:
        return fingerprint(ssl.PEM_cert_to_DER_cert(pem))
    except ValueError as error:
        raise FarshoreError("protocol", f"not a certificate: {error}") from error


def open_identity(paths: Paths, name: str) -> Identity:
    """The node's identity, made at the first call.

    Raises FarshoreError `state-damaged` where only one of the two files is there, or they do not belong
    together: making a new identity would silently end every pairing.
    """
    if not paths.key.exists() and not paths.certificate.exists():
        key, certificate = make_certificate(name)
        documents.write_bytes(paths.key, key)
        documents.write_bytes(paths.certificate, certificate)
    try:
        pem = paths.certificate.read_text("ascii")
        parsed = x509.load_pem_x509_certificate(pem.encode())
    except (OSError, ValueError) as error:
        raise documents.damaged(paths.certificate, error) from error
    if _raw(parsed.public_key()) != _raw(_load_key(paths.key).public_key()):
        raise documents.damaged(paths.key, ValueError("the key does not belong to the certificate"))
    return Identity(fingerprint_of_pem(pem), pem, paths.certificate, paths.key)


def make_certificate(name: str) -> tuple[bytes, bytes]:
    """A new key and its certificate, both PEM."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(9999, 12, 31, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(usage, critical=True)
        .sign(key, None)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


def verify(pem: str, signature: bytes, message: bytes) -> None:
    """That whoever made `signature` holds the key of the certificate.

    Raises FarshoreError `bad-token` where it does not fit, `protocol` where the
    text is no certificate of ours.
    """
    try:
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    except ValueError as error:
        raise FarshoreError("protocol", f"not a certificate: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise FarshoreError("protocol", "the certificate's key is not of the kind that nodes have")
    try:
        key.verify(signature, message)
    except InvalidSignature as error:
        raise FarshoreError(
            "bad-token", "the joining node does not hold the key of its certificate"
        ) from error


def _load_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise documents.damaged(path, error) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise documents.damaged(path, TypeError("not an Ed25519 key"))
    return key


def _raw(key: object) -> bytes:
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else b""
