"""Roles that move under load while nodes and engines are killed: see `torment`."""

from tests.roles.conftest import MakeRoles
from tests.roles.torment import Load, Torment, never_two

ROUNDS = 3


def test_no_write_is_lost_by_roles_that_move_while_processes_die(roles: MakeRoles) -> None:
    made = roles(mode="sync", on_outage="freeze")
    torment = Torment(made, 1)
    with never_two(made):
        with Load(made, 1) as load:
            for _ in range(ROUNDS):
                torment.round(load)
        (name,) = made.primaries()
        made.protected(made.cluster.hosts[name])
    made.equal()
    load.check(made.cluster.hosts[name].image(made.group).read_bytes())
    print("\n".join(torment.told))
