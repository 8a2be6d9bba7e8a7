"""The world lets things happen in one order, which follows from its seed."""

from sim.world import Life, World


def test_things_happen_in_the_order_of_their_times_and_of_their_making() -> None:
    world, life, seen = World(1), Life("one"), list[str]()
    world.after(2.0, life, seen.append, "late")
    world.after(1.0, life, seen.append, "first")
    world.after(1.0, life, seen.append, "second")
    while world.step():
        pass
    assert seen == ["first", "second", "late"]
    assert world.now == 2.0


def test_what_belongs_to_a_dead_process_does_not_happen() -> None:
    world, life, seen = World(1), Life("one"), list[str]()
    world.after(1.0, life, seen.append, "never")
    life.alive = False
    assert not world.step()
    assert seen == []


def test_a_stalled_process_goes_on_later_in_the_same_order() -> None:
    world, life, other, seen = World(1), Life("one"), Life("other"), list[str]()
    world.after(1.0, life, seen.append, "first")
    world.after(2.0, life, seen.append, "second")
    world.after(3.0, other, seen.append, "other")
    life.stalled_until = 5.0
    while world.step():
        pass
    assert seen == ["other", "first", "second"]
    assert world.now == 5.0


def test_a_fingerprint_tells_two_runs_apart() -> None:
    worlds = [World(1), World(1), World(1)]
    for world, text in zip(worlds, ("same", "same", "other"), strict=True):
        world.note("here", text)
    assert worlds[0].fingerprint == worlds[1].fingerprint != worlds[2].fingerprint
    assert worlds[0].trace() == ["  0.000000 here       same"]
