"""Keys, certificates and tokens of a test cluster, made anew for each one."""

import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

USERS: Final[Mapping[str, tuple[str, str]]] = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "node": ("system:node:localhost", "system:nodes"),
}
"""Name and group of each client of the cluster, by the name of its kubeconfig."""
_NAMES: Final = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True, slots=True)
class Certificates:
    """The folder with a cluster's keys. `write` fills it."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def kubeconfig(self, user: str) -> Path:
        return self.folder / f"{user}.kubeconfig"

    def write(self, address: str) -> None:
        """A certificate authority, the API server's certificate, the key of service account tokens, a token a user."""
        self.folder.mkdir(parents=True, exist_ok=True)
        authority_key = ec.generate_private_key(ec.SECP256R1())
        authority = _certificate("test-ca", authority_key, authority_key, "test-ca", address=None)
        server_key = ec.generate_private_key(ec.SECP256R1())
        server = _certificate("kube-apiserver", server_key, authority_key, "test-ca", address=address)
        accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._write("ca.crt", authority.public_bytes(serialization.Encoding.PEM))
        self._write("apiserver.crt", server.public_bytes(serialization.Encoding.PEM))
        self._write("apiserver.key", _private(server_key))
        self._write("sa.key", _private(accounts))
        self._write(
            "sa.pub",
            accounts.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
        )
        tokens = {user: secrets.token_hex(16) for user in USERS}
        rows = [f'{tokens[user]},{name},{user},"{group}"' for user, (name, group) in USERS.items()]
        self._write("tokens.csv", "\n".join(rows).encode())
        for user, token in tokens.items():
            self.kubeconfig(user).write_text(kubeconfig(f"https://{address}", self.path("ca.crt"), token))

    def _write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)


def kubeconfig(server: str, authority: str, token: str, namespace: str = "default") -> str:
    """A client's file with a static token."""
    return f"""apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{server}", certificate-authority: "{authority}"}}}}]
users: [{{name: u, user: {{token: "{token}"}}}}]
contexts: [{{name: d, context: {{cluster: c, user: u, namespace: {namespace}}}}}]
current-context: d
"""


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: str,
    *,
    address: str | None,
) -> x509.Certificate:
    """Of the authority itself without an address, of the API server with one."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
        .add_extension(_usage(signs=address is None), critical=True)
    )
    if address is not None:
        addresses = [x509.IPAddress(ipaddress.ip_address(one)) for one in (address, "127.0.0.1")]
        names = [x509.DNSName(one) for one in _NAMES]
        builder = builder.add_extension(x509.SubjectAlternativeName([*addresses, *names]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
