"""Certificates of SNS: found at an address that a message names, believed for who issued them.

A message that anybody can post names the address of its certificate. So that address must be a
certificate file on the SNS host of the topic's own region, the file a PEM and nothing else, and the
certificate one that names SNS and that Amazon's root certificates vouch for. What lies on that host
for another reason, such as an attacker's certificate inside a reply of the SNS API, is none of these.
"""

import re
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from download import download

# A few certificates: SNS changes its own once or twice a year.
_MOST_KEPT = 8
_MOST_CERTIFICATES_OF_CHAIN = 4
# Addresses are an outsider's to choose: one new one a second is all that AWS is asked for.
_SECONDS_BETWEEN_FETCHES = 1.0
_MOST_SECONDS_TO_WAIT = 5.0

_PEM = re.compile(rb"(?:-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*){1,4}")
# Over plain http, as Amazon publishes them. What comes from there is believed only if it fits
# between a certificate that is there already and a root.
_ISSUER = re.compile(r"http://crt\.[a-z0-9]+\.amazontrust\.com/[a-z0-9]+\.(?:cer|crt)")


class NotFromSns(Exception):
    """A message is not what it says it is."""


def sns_host(topic_arn: str) -> str:
    """Returns the host name of SNS in the region of a topic."""
    arn = re.fullmatch(r"arn:(aws[a-z-]*):sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_-]+(?:\.fifo)?", topic_arn)
    if not arn:
        raise ValueError(f"not the ARN of a topic: {topic_arn!r}")
    return f"sns.{arn[2]}.amazonaws.com" + (".cn" if arn[1] == "aws-cn" else "")


def amazon_roots(ca_file: str | None = None) -> list[x509.Certificate]:
    """Returns all of `ca_file`, or without one what this system trusts and Amazon has issued."""
    if ca_file:
        return x509.load_pem_x509_certificates(Path(ca_file).read_bytes())
    context = ssl.create_default_context()
    if not context.get_ca_certs() and (directory := ssl.get_default_verify_paths().capath):
        for path in Path(directory).glob("*.0"):
            context.load_verify_locations(path)
    ders = zip(context.get_ca_certs(), context.get_ca_certs(binary_form=True), strict=True)
    roots = [x509.load_der_x509_certificate(der) for found, der in ders if (("organizationName", "Amazon"),) in found["subject"]]
    if not roots:
        raise ValueError("this system trusts no root certificate of Amazon: name a file that has them")
    return roots


class Certificates:
    """Fetches, checks and keeps the certificates of the SNS host `host`."""

    def __init__(self, host: str, roots: list[x509.Certificate], fetch: Callable[[str], bytes] = download):
        self._address = re.compile(
            rf"https://{re.escape(host)}(?::443)?/SimpleNotificationService-[0-9A-Za-z-]{{1,64}}\.pem"
        )
        _, region, domain = host.split(".", 2)
        # As the AWS SDK for Java has them: most regions have the first, newer ones a name of their
        # own, and both regions of GovCloud that of one of them.
        self._names = {f"sns.{domain}", host, f"sns-signing.{region}.{domain}", f"sns-{region}.{domain}"}
        if region.startswith("us-gov-"):
            self._names.add(f"sns-us-gov-west-1.{domain}")
        self._store = Store(roots)
        self._fetch = fetch
        self._chains: OrderedDict[str, list[x509.Certificate]] = OrderedDict()
        self._lock = threading.Lock()
        self._next_fetch = 0.0

    def at(self, url: str) -> x509.Certificate:
        """Returns the certificate of SNS at `url`. Raises `NotFromSns`, or an OSError: try later."""
        if not self._address.fullmatch(url):
            raise NotFromSns(f"no address of a certificate of SNS: {url!r:.200}")
        chain = self._chains.get(url)
        if chain is None:
            chain = self._fetch_once(url)
        # Every time, because time passes: what was valid when it was fetched may be so no more.
        self._verify(chain)
        return chain[0]

    def _fetch_once(self, url: str) -> list[x509.Certificate]:
        if not self._lock.acquire(timeout=_MOST_SECONDS_TO_WAIT):
            raise OSError("another certificate is being fetched")
        try:
            if url in self._chains:
                return self._chains[url]
            if time.monotonic() < self._next_fetch:
                raise OSError("too many new certificates at once")
            self._next_fetch = time.monotonic() + _SECONDS_BETWEEN_FETCHES
            chain = self._completed(_certificates(self._fetch(url)))
            self._chains[url] = chain
            while len(self._chains) > _MOST_KEPT:
                self._chains.popitem(last=False)
            return chain
        finally:
            self._lock.release()

    def _completed(self, chain: list[x509.Certificate]) -> list[x509.Certificate]:
        """Returns the chain with the issuers that the file leaves out: SNS gives the leaf alone."""
        while True:
            try:
                self._verify(chain)
                return chain
            except NotFromSns:
                issuer = _issuer_address(chain[-1])
                if issuer is None or len(chain) >= _MOST_CERTIFICATES_OF_CHAIN:
                    raise
            try:
                chain = [*chain, x509.load_der_x509_certificate(self._fetch(issuer))]
            except ValueError as fault:
                raise OSError(f"no certificate at {issuer}") from fault

    def _verify(self, chain: list[x509.Certificate]) -> None:
        leaf, *issuers = chain
        try:
            named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            name = next((each for each in named.get_values_for_type(x509.DNSName) if each in self._names), None)
            if name is None:
                raise NotFromSns("the certificate does not name SNS")
            PolicyBuilder().store(self._store).build_server_verifier(x509.DNSName(name)).verify(leaf, issuers)
        except x509.ExtensionNotFound as fault:
            raise NotFromSns("the certificate does not name SNS") from fault
        except (VerificationError, ValueError) as fault:
            raise NotFromSns(f"the certificate is not good: {fault}") from fault


def _certificates(pem: bytes) -> list[x509.Certificate]:
    if not _PEM.fullmatch(pem):
        raise NotFromSns("there is something else in the place of a certificate")
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as fault:
        raise NotFromSns("the certificate cannot be read") from fault


def _issuer_address(certificate: x509.Certificate) -> str | None:
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    for each in access:
        if each.access_method == AuthorityInformationAccessOID.CA_ISSUERS and _ISSUER.fullmatch(str(each.access_location.value)):
            return str(each.access_location.value)
    return None
