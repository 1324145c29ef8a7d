"""The server in kong/retrohook-aws.conf, through which a filter calls AWS: what it verifies, whom it calls, what it keeps.

It is read here, and not run: nginx with Kong's modules is no part of the tests.
"""

import re
from collections.abc import Iterator

from rig import PROJECT

from .test_shipped_files import copies, filters_in, load, settings

TEXT = (PROJECT / "kong" / "retrohook-aws.conf").read_text()
LUA = re.compile(r"(\w+_by_lua_block) \{\n(.*?)\n( *)\}\n", re.DOTALL)
ADDRESS = "127.0.0.1:8099"


def directives() -> dict[str, list[str]]:
    """The values of each directive outside of Lua, in the order of the file."""
    found: dict[str, list[str]] = {}
    for line in LUA.sub("", TEXT).splitlines():
        if match := re.fullmatch(r" *(\w+) (.+);", line.partition("#")[0].rstrip() if '"' not in line else line):
            found.setdefault(match[1], []).append(match[2])
    return found


def domains() -> Iterator[str]:
    """The domains of the partitions that the filter knows."""
    source = (PROJECT / "src" / "aws" / "endpoint.rs").read_text()
    (table,) = re.findall(r"const DOMAINS: .*?= \[(.*?)\];", source, re.DOTALL)
    yield "amazonaws.com"
    yield from re.findall(r'", "([a-z0-9.-]+)"\)', table)


def takes(name: str) -> bool:
    (pattern,) = re.findall(r'server_name retrohook-aws "~(.+)"', TEXT)
    return re.search(pattern, name) is not None


def test_it_calls_every_name_of_aws_and_no_other() -> None:
    names = [f"{service}.us-east-1.{domain}" for domain in domains() for service in ("sns", "sqs", "events", "sts")]
    names += ["vpce-0a1b.sns.us-east-1.vpce.amazonaws.com", "sqs-fips.us-east-1.amazonaws.com", "sns.us-east-1.api.aws"]
    assert len(names) == 4 * 7 + 3 and all(takes(name) for name in names), [name for name in names if not takes(name)]
    for other in (
        "amazonaws.com.example.test",
        "sns.us-east-1.amazonaws.com.",
        "sns.us-east-1.amazonaws.comx",
        "x-amazonaws.com",
        "127.0.0.1",
        "localhost",
        "sns.us-east-1.amazonaws.com/x",
    ):
        assert not takes(other), other
    # The first server of a port answers for names that no other has.
    assert directives()["listen"] == [f"{ADDRESS} default_server", ADDRESS]
    assert TEXT.index("return 421") < TEXT.index('"~')


def test_it_verifies_certificate_and_name_and_passes_on_what_was_signed() -> None:
    found = directives()
    assert found["proxy_ssl_verify"] == found["proxy_ssl_server_name"] == ["on"]
    assert found["proxy_ssl_name"] == ["$host"]
    assert found["proxy_ssl_trusted_certificate"] == ["/etc/ssl/certs/ca-certificates.crt"]
    assert found["proxy_ssl_protocols"] == ["TLSv1.2 TLSv1.3"]
    # Without a path behind it, that of the request goes on as it came.
    assert found["proxy_pass"] == ["https://retrohook_aws"]
    assert found["proxy_set_header"] == ["Host $http_host", 'Connection ""']


def test_it_keeps_connections_for_one_name_each_and_a_call_fits() -> None:
    lua = {name: body for name, body, _ in LUA.findall(TEXT)}
    assert "enable_keepalive(60, 10000)" in lua["balancer_by_lua_block"]
    assert 'peer.address .. ":" .. peer.port .. "/" .. ngx.var.host' in lua["balancer_by_lua_block"]
    assert 'require("kong.resty.dns.client").toip' in lua["access_by_lua_block"]
    assert directives()["client_body_buffer_size"] == directives()["client_max_body_size"] == ["4m"]
    assert directives()["proxy_http_version"] == ["1.1"]


def test_what_is_shipped_makes_use_of_it() -> None:
    path = settings()["nginx_http_include"]
    assert dict(copies("Dockerfile"))["kong/retrohook-aws.conf"] == path
    for name in ("kong.yml", "capture.yml"):
        for config in filters_in(load(name)):
            (capture,) = config.get("capture", [{}])
            assert capture.get("upstream", config.get("upstream")) == f"http://{ADDRESS}", name
