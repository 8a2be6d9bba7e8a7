"""What `export --format libvirt` prints is a disk that libvirt understands, down to each attribute."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.interop.conftest import Pair
from tests.interop.programs import run
from tests.ports import free_port
from tests.requires import requires

pytestmark = requires("virsh")

_DOMAIN = """<domain type="qemu"><name>guest</name><memory unit="MiB">64</memory>
<os><type arch="x86_64" machine="q35">hvm</type></os><devices>{disk}</devices></domain>"""


@pytest.mark.parametrize(
    "words", [(), ("--read-only",), ("--tcp", "127.0.0.1:PORT", "--tls")], ids=["unix", "read-only", "tls"]
)
def test_libvirt_takes_the_disk_into_a_domain_and_shows_it_unchanged(
    words: tuple[str, ...], pair: Pair, tmp_path: Path
) -> None:
    chosen = [each.replace("PORT", str(free_port())) for each in words]
    disk = pair.cluster.a.done("export", f"{pair.group}/data", "--format", "libvirt", *chosen)
    path = tmp_path / "domain.xml"
    path.write_text(_DOMAIN.format(disk=disk))
    # libvirt's own driver for tests forgets everything at the end of the connection, so it is one.
    shown = run("virsh", "-q", "-c", "test:///default", f"define --validate {path}; dumpxml guest")
    found = ET.fromstring(shown[shown.index("<domain") :]).find("devices/disk")
    assert found is not None
    address = found.find("address")
    if address is not None:
        found.remove(address)
    assert _plain(found) == _plain(ET.fromstring(disk))


def _plain(element: ET.Element) -> tuple[object, ...]:
    """What an element says, whatever the order of what it holds."""
    inner = sorted((_plain(each) for each in element), key=repr)
    return element.tag, sorted(element.attrib.items()), inner
