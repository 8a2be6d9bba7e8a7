"""One setting for all logs: engines and devices write down what the node's file says, also those that run."""

from pathlib import Path

import pytest

from tests.attached.attaching import attached, device
from tests.cluster import Cluster, Host
from tests.requires import requires_fuse, requires_root
from tests.waiting import wait_until

pytestmark = [requires_fuse(), requires_root(), pytest.mark.timeout(120)]


def _set(host: Host, level: str) -> None:
    path = host.state / "farshore.toml"
    path.write_text(f'[log]\nlevel = "{level}"\n')
    path.chmod(0o644)
    host.kill_node()
    host.start()


def _log(host: Host, pattern: str) -> str:
    (path,) = Path(host.state).glob(pattern)
    return path.read_text()


def test_engines_and_devices_log_as_the_node_does(site: Cluster) -> None:
    a = site.a
    _set(a, "error")
    site.group("orders", {"data": "4MiB"})
    with attached(a, "orders/data", "--way", "file") as (made,):
        assert (_log(a, "copies/*/*/engine.log"), _log(a, "devices/*/device.log")) == ("", "")
        _set(a, "info")
        assert device(a, "orders/data")["pid"] == made["pid"]
        a.kill_engine("orders")
        wait_until(lambda: device(a, "orders/data")["reconnects"] == 1, 30)
        assert '"engine-back"' in _log(a, "devices/*/device.log"), "the device that ran has heard of it"
        assert '"writes-flow"' in _log(a, "copies/*/*/engine.log")
