"""Members whose addresses change keep their data, their ids and their cluster (row 41)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.harness import Fleet


def test_members_whose_addresses_change_one_at_a_time_stay_members_row41(trio: Fleet) -> None:
    ids, since = trio.ids(), trio.ledger.flowing()
    order = [*trio.followers(), trio.leader()]

    for node in order:
        node.kill_both(stay_down=True)
        trio.readdress(node.name)
        node.revive()
        trio.healthy(within=60)
        trio.ledger.flowing()

    assert trio.ids() == ids
    assert {member.peer_url for member in trio.members()} == {
        f"http://{node.address}:2380" for node in trio.nodes.values()
    }
    assert trio.ledger.longest_gap(since) < 3
