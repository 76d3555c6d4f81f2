"""What the address guard refuses without asking anybody, and how the operator's list is read."""

from ipaddress import ip_network

import pytest
from pydantic import SecretStr, ValidationError

from signalbox_chassis.security.egress import SPECIAL_RANGES, AddressRefused, EgressGuard, EgressSettings


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
        "http://localhost:8080/", "http://db.localhost/", "http://LOCALHOST./", "http://0.0.0.0/", "http://0/",
        "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:a00:1]/", "http://[::7f00:1]/",
        "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/", "http://100.64.0.1/", "http://[fd00::1]/",
        "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://[fe80::1%25eth0]/",
        "http://[fd00:ec2::254]/", "http://192.0.0.192/", "http://224.0.0.1/", "http://[ff02::1]/",
        "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::1]/", "http://[2002:7f00:1::]/", "http://[2001:0:1::1]/",
        "http://255.255.255.255/", "http://240.0.0.1/", "http://198.18.0.1/",
    ],
)  # fmt: skip
def test_an_address_that_leads_inside_is_refused_in_every_spelling(url: str) -> None:
    with pytest.raises(AddressRefused, match="SIGNALBOX_EGRESS_ALLOW"):
        EgressGuard().check_url(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org/", "scheme"), ("file:///etc/passwd", "scheme"), ("gopher://127.0.0.1/", "scheme"),
        ("example.org", "scheme"), ("", "scheme"), ("http://", "no host"), ("http:///path", "no host"),
        ("http://ann:pw123456@example.org/", "credentials"), ("http://example.org:99999/", "form"),
    ],
)  # fmt: skip
def test_what_is_no_plain_http_address_is_refused(url: str, why: str) -> None:
    with pytest.raises(AddressRefused, match=why) as refused:
        EgressGuard("127.0.0.1, example.org").check_url(url)
    assert "pw123456" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:geheim@example.org:99999/x", "http://ann:geh/eim@example.org:x/", "http://ann:geheim@[::1/",
        "http:///x?token=geheim", "mailto:ann?body=geheim", "http://ann:geheim@/", "http://example.org:x/?key=geheim",
    ],
)  # fmt: skip
def test_a_refusal_repeats_no_secret_of_the_address(url: str) -> None:
    """It is kept with the task or the delivery, where others read it."""
    with pytest.raises(AddressRefused) as refused:
        EgressGuard().check_url(url)
    assert "eim" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://1.1.1.1/", "https://example.org/x?y=1", "http://[2606:4700::1111]:8080/"])
def test_public_addresses_and_names_are_let_through(url: str) -> None:
    EgressGuard().check_url(url)


@pytest.mark.parametrize(
    ("allow", "url", "may"),
    [
        ("10.0.0.0/8", "http://10.1.2.3:99/", True),
        ("10.0.0.0/8:8080", "http://10.1.2.3:8080/", True),
        ("10.0.0.0/8:8080", "http://10.1.2.3/", False),
        ("10.0.0.0/8", "http://[::ffff:10.0.0.1]/", True),
        ("10.0.0.0/8", "http://11.0.0.1/", True),  # public anyway
        ("10.0.0.0/8", "http://192.168.0.1/", False),
        ("127.0.0.1", "http://2130706433/", True),
        ("[::1]:80", "http://[::1]/", True),
        ("[::1]:80", "http://[::1]:81/", False),
        ("fd00::/8", "http://[fd12::1]/", True),
        ("localhost", "http://localhost:7/", True),
        ("localhost", "http://127.0.0.1:7/", False),
    ],
)
def test_the_operators_list_is_by_address_name_and_port(allow: str, url: str, may: bool) -> None:
    if may:
        EgressGuard(allow).check_url(url)
    else:
        with pytest.raises(AddressRefused):
            EgressGuard(allow).check_url(url)


@pytest.mark.parametrize(
    ("allow", "host", "may"),
    [
        ("engine.internal", "engine.internal", True),
        ("engine.internal", "ENGINE.internal.", True),
        ("engine.internal", "x.engine.internal", False),
        ("*.lake", "a.lake", True),
        ("*.lake", "a.b.lake", True),
        ("*.lake", "lake", False),
        ("*.lake", "notlake", False),
        ("engine.internal:8080", "engine.internal", False),
    ],
)
def test_a_name_on_the_list_may_lead_inside_and_no_other(allow: str, host: str, may: bool) -> None:
    guard = EgressGuard(allow)
    guard.check_address("anything.example", "1.1.1.1", 80)
    if may:
        guard.check_address(host, "10.0.0.5", 80)
    else:
        with pytest.raises(AddressRefused):
            guard.check_address(host, "10.0.0.5", 80)


@pytest.mark.parametrize(
    "entry", ["10.0.0.0/99", "host:0", "host:99999", "host:x", "http://host", "a b", "[::1", "1.2.3"]
)
def test_an_entry_that_cannot_be_read_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is no|port"):
        EgressGuard(entry)
    with pytest.raises(ValidationError, match="egress_allow"):
        EgressSettings(kafka_bootstrap="k:9092", database_url=SecretStr("postgresql://h/d"), egress_allow=entry)


PUBLIC = ("1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450::1", "192.0.1.1", "198.20.0.1")


def test_public_addresses_are_called() -> None:
    for address in PUBLIC:
        EgressGuard().check_address("name.example", address, 443)


@pytest.mark.parametrize("network", [str(network) for network, _ in SPECIAL_RANGES])
def test_every_special_range_is_refused_from_its_first_address_to_its_last(network: str) -> None:
    """Also as a URL, where the address is written as it is, and where a name leads to it."""
    of = ip_network(network)
    for address in (of[0], of[-1]):
        with pytest.raises(AddressRefused):
            EgressGuard().check_address("name.example", str(address), 80)
        with pytest.raises(AddressRefused):
            EgressGuard().check_url(f"http://[{address}]/" if of.version == 6 else f"http://{address}/")


@pytest.mark.parametrize(
    "url",
    [
        "http://[::ffff:0:127.0.0.1]/",
        "http://[3fff::1]/",
        "http://[5f00::1]/",
        "http://[fec0::1]/",
        "http://192.88.99.1/",
        "http://168.63.129.16/",
        "http://u:p@1.1.1.1/",
    ],
)
def test_known_ways_inside_are_closed(url: str) -> None:
    with pytest.raises(AddressRefused):
        EgressGuard().check_url(url)
