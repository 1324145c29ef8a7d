"""A certificate authority for one test run, and server certificates that it signed."""

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """Keeps its files in `directory`."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name("Retrohook test authority")
        certificate = self._sign(self._subject, self._key, [x509.BasicConstraints(ca=True, path_length=0)])
        self.certificate_path = directory / "authority.pem"
        self.certificate_path.write_bytes(certificate)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: list[x509.ExtensionType]) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def certificate_of(self, host: str) -> Path:
        """A file with a certificate that says so, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        path = self._directory / f"{host}.pem"
        path.write_bytes(
            self._sign(_name(host), key, [x509.SubjectAlternativeName([x509.DNSName(host)])])
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path

    def server_context(self, host: str) -> ssl.SSLContext:
        """For a server that proves to be `host`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate_of(host))
        return context

    def client_context(self, certificate: Path | None = None) -> ssl.SSLContext:
        """For a client that believes this authority, and has that certificate."""
        context = ssl.create_default_context(cafile=self.certificate_path)
        if certificate:
            context.load_cert_chain(certificate)
        return context
