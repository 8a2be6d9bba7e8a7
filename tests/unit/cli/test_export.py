"""`farshore export`: what is asked of the node, what is printed, what is written for clients and for whom."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.mark.parametrize(
    "words", [("export", "g/v"), ("export", "create", "g/v"), ("--api", "X", "export", "g/v")]
)
def test_an_export_prints_what_an_nbd_client_opens_and_nothing_else(
    words: tuple[str, ...], api: Replay, farshore: Run
) -> None:
    export = {"group": "g", "volume": "v", "uri": "nbd+unix:///v?socket=/s", "read_only": False}
    api.on("POST", "/v1/exports", {"schema": 1, "exports": [export]})
    words = tuple(api.address if word == "X" else word for word in words)
    assert farshore(*words).out == "nbd+unix:///v?socket=/s\n"
    assert api.asked[0].body == {"group": "g", "volume": "v", "tcp": None, "read_only": False}
    assert farshore("export", "--json", "--read-only", "--tcp", "127.0.0.1:10809", "g").json["exports"] == [
        {**export, "text": export["uri"]}
    ]
    assert api.asked[1].body == {"group": "g", "volume": None, "tcp": "127.0.0.1:10809", "read_only": True}


def test_exports_are_listed_and_taken_back(api: Replay, farshore: Run) -> None:
    export = {"group": "g", "volume": "v", "uri": "nbd://h:1/v", "read_only": True}
    api.on("GET", "/v1/exports", {"schema": 1, "exports": [export]})
    api.on("DELETE", "/v1/exports", {})
    assert "read only" in farshore("export", "list").out
    api.on("GET", "/v1/exports", {"schema": 1, "exports": [{**export, "not_served": "h:1 is not here"}]})
    assert "not served: h:1 is not here" in farshore("export", "list").out
    assert farshore("export", "list", "--json").json["exports"][0]["not_served"] == "h:1 is not here"
    assert farshore("export", "delete", "g/v", "--tcp", "h:1").code == 0
    assert api.asked[-1].target == "/v1/exports?group=g&volume=v&tcp=h%3A1"


def test_a_snapshot_is_named_behind_an_at_sign(api: Replay, farshore: Run) -> None:
    uri = "nbd+unix:///v?socket=/s"
    export = {"group": "g", "volume": "v", "uri": uri, "read_only": True}
    export |= {"role": "secondary", "snapshot": "monday"}
    api.on("POST", "/v1/exports", {"schema": 1, "exports": [export]})
    api.on("GET", "/v1/exports", {"schema": 1, "exports": [export, {**export, "snapshot": None}]})
    api.on("DELETE", "/v1/exports", {})
    assert farshore("export", "g/v@monday", "--copy", "b").out == uri + "\n"
    asked = {"group": "g", "volume": "v", "tcp": None, "read_only": False}
    assert api.asked[0].body == {**asked, "snapshot": "monday", "copy_name": "b"}
    shown = farshore("export", "list").out
    assert "v@monday" in shown
    assert "read only, secondary" in shown
    assert farshore("export", "delete", "g@monday").code == 0
    assert api.asked[-1].target == "/v1/exports?group=g&snapshot=monday"
    assert farshore("export", "g@").code == 2


def test_an_export_is_told_in_the_words_that_were_asked_for(api: Replay, farshore: Run) -> None:
    export = {"group": "g", "volume": "v", "uri": "nbds://h:1/v", "tcp": "h:1", "tls": True, "unix": None}
    api.on("POST", "/v1/exports", {"schema": 1, "exports": [export]})
    words = ("export", "g/v", "--tcp", "h:1", "--tls", "--tls-name", "x.example", "--format", "qemu")
    shown = farshore(*words, "--certificates", "/c", "--json").json["exports"][0]["text"]
    assert "tls-creds-x509" in shown
    assert "dir=/c" in shown
    assert api.asked[0].body == {
        "group": "g",
        "volume": "v",
        "tcp": "h:1",
        "read_only": False,
        "tls": True,
        "names": ["x.example"],
    }


def test_an_address_in_the_clear_is_pointed_out_where_others_reach_it(api: Replay, farshore: Run) -> None:
    for tcp, told in (("192.0.2.7:1", True), ("127.0.0.1:1", False), ("[::1]:1", False)):
        export = {"group": "g", "volume": "v", "uri": f"nbd://{tcp}/v", "tcp": tcp}
        api.on("POST", "/v1/exports", {"schema": 1, "exports": [export]})
        assert ("--tls" in farshore("export", "g/v", "--tcp", tcp).err) is told


_PEMS = {"fingerprint": "ab", "authority": "CA\n", "certificate": "CERT\n", "key": "SECRET\n"}


def test_what_a_client_needs_is_written_for_its_owner_alone_and_shown_to_nobody(
    api: Replay, farshore: Run, tmp_path: Path
) -> None:
    api.on("POST", "/v1/exports/clients", {"schema": 1, "client": "app", **_PEMS})
    directory = tmp_path / "new" / "app"
    allowed = farshore("export", "allow", "g", "app", "--to", str(directory))
    assert (allowed.code, allowed.out) == (0, f"{directory}\n")
    assert "SECRET" not in allowed.out + allowed.err
    assert (directory / "client-key.pem").read_text() == "SECRET\n"
    assert {each.stat().st_mode & 0o777 for each in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
    again = farshore("export", "allow", "g", "two", "--to", str(directory))
    assert again.code == 4
    assert len(api.asked) == 1, "no key is made that cannot be written"
    (tmp_path / "file").touch()
    assert farshore("export", "allow", "g", "two", "--to", str(tmp_path / "file")).code == 1
    shown = farshore("export", "allow", "g", "app", "--to", str(tmp_path / "other"), "--json")
    assert shown.json == {
        "schema": 1,
        "client": "app",
        "fingerprint": "ab",
        "directory": str(tmp_path / "other"),
    }


def test_clients_are_shown_and_shut_out(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/exports/clients", {"schema": 1, "clients": [{"name": "app", "fingerprint": "ab"}]})
    api.on("DELETE", "/v1/exports/clients", {})
    assert farshore("export", "clients", "g").out.splitlines()[1].split() == ["app", "ab"]
    assert farshore("export", "disallow", "g", "app").code == 0
    assert api.asked[-1].target == "/v1/exports/clients?group=g&client=app"
