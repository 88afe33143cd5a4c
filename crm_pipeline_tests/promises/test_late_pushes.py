"""A push that lands late, in ways that random search seldom finds: what it may have overwritten is pushed again."""

from __future__ import annotations

from crm_pipeline.model import OutcomeKind
from crm_pipeline_tests.promises.test_guards_matter import finish, overtaken
from crm_pipeline_tests.promises.world import ANN, World


def the_crm_holds(world: World, address: str) -> str | None:
    """The name that the CRM has for this address."""
    return world.memory.records["brevo", address].payload[1]


def test_a_late_push_that_landed_but_timed_out_is_repaired(world: World) -> None:
    former, owner = overtaken(world)
    finish(world, owner)
    world.push(former, OutcomeKind.FAILED, lands=True)
    world.journal(former)
    world.write_back(former)
    world.quiet()
    assert the_crm_holds(world, ANN) == "Ann Newer"


def test_a_late_push_to_an_address_that_is_now_anothers_is_repaired(world: World) -> None:
    moved = world.add(ANN)
    former = world.start()
    assert former is not None
    world.stall(former)
    world.edit(moved, email="ann.moved@example.com")
    world.begin_run()
    finish(world, world.start())
    world.edit(world.add(ANN), name="Another Ann")
    finish(world, world.start())
    finish(world, former)
    world.quiet()
    assert the_crm_holds(world, ANN) == "Another Ann"
