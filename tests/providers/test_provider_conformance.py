"""The suite itself: the trivial provider passes it, and one that guesses is caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from eco.core.model import Group, Instance
from eco.errors import Unavailable
from eco.testing import ProviderConformance, Roll

GROUP = Group((Instance("a", "127.0.0.1"), Instance("b", "127.0.0.2")), desired=2)


class TestRoll(ProviderConformance):
    @pytest.fixture
    def provider(self) -> Roll:
        return Roll("b", GROUP)

    @pytest.fixture
    def broken(self) -> list[Roll]:
        down = Roll("a", GROUP)
        down.down = "the cloud is gone"
        return [down, Roll("stranger", GROUP), Roll("a", Group((), desired=1))]


class Guesses(Roll):
    """Its answer is the empty group when it has none."""

    async def look(self) -> Group:
        try:
            return await super().look()
        except Unavailable:
            return Group((), desired=1)


async def test_a_provider_that_answers_emptiness_for_ignorance_is_caught() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await ProviderConformance().test_what_cannot_be_known_is_unavailable_every_time([Guesses("stranger", GROUP)])


async def test_a_roll_has_an_example_of_itself() -> None:
    roll, problems = Roll.parse({}, Path())
    assert roll is not None
    assert problems == ()
    assert [instance.name for instance in (await roll.look()).instances] == [roll.me]
