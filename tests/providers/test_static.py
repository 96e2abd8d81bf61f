from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eco.core.model import Group, Instance, Medium, Presence
from eco.errors import Unavailable
from eco.testing import ProviderConformance
from providers.static import Static, _bytes, _mark

THREE = """\
instances:
  - {name: a, address: 127.0.0.1}
  - {name: b, address: 127.0.0.2}
  - {name: c, address: 127.0.0.3}
"""


def write(file: Path, text: str | bytes, *, age: float = 60) -> None:
    """Replace the file; it has lain still for `age` seconds."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(file, (time.time() - age, time.time() - age))


def become_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def become_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def reading(file: Path, me: str = "a") -> Static:
    static, problems = Static.parse({"name": me, "file": file.name}, file.parent)
    assert static is not None, problems
    return static


def inline(**settings: object) -> Static:
    static, problems = Static.parse(settings, Path("/etc"))
    assert static is not None, problems
    return static


def told(**settings: object) -> list[str]:
    static, problems = Static.parse({key.replace("_", "-"): value for key, value in settings.items()}, Path("/etc"))
    assert static is None
    return [str(problem) for problem in problems]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "group.yaml", THREE)
    return tmp_path / "group.yaml"


class TestConformance(ProviderConformance):
    @pytest.fixture(params=["inline", "file"])
    def provider(self, request: pytest.FixtureRequest, file: Path) -> Static:
        listed = [{"name": name, "address": f"127.0.0.{number}"} for number, name in enumerate("cab", 1)]
        return inline(name="b", instances=listed, desired=2) if request.param == "inline" else reading(file)

    @pytest.fixture
    def broken(self, tmp_path: Path) -> list[Static]:
        for name, text in BROKEN.items():
            write(tmp_path / name, text)
        (tmp_path / "directory").mkdir()
        os.mkfifo(tmp_path / "pipe")
        return [reading(tmp_path / name) for name in (*BROKEN, "directory", "missing", "pipe")]


BROKEN: dict[str, str | bytes] = {
    "empty": "",
    "blank": "\n\n",
    "no mapping": "- a\n- b\n",
    "no list": "desired: 3\n",
    "empty list": "instances: []\n",
    "null": "instances:\n",
    "without me": THREE.replace("name: a,", "name: d,"),
    "a name twice": THREE.replace("name: b,", "name: a,"),
    "cut off": THREE[:-3],
    "unknown key": THREE + "desird: 2\n",
    "bad port": THREE.replace("127.0.0.3}", "127.0.0.3, client-port: 70000}"),
    "two documents": THREE + "---\n" + THREE,
    "binary": b"\x00\xff\xfe",
    "bad tag": THREE + "desired: !!bool x\n",
    "code": THREE + "desired: !!python/object/apply:os.getpid []\n",
    "too large": THREE + "#" * (1 << 20),
    "deep": "[" * 1000,
}


# ---------------------------------------------------------------- what is written


async def test_ports_have_etcds_defaults_and_can_be_written() -> None:
    written = {"client-port": 1, "peer-port": 2, "status-port": 3}
    group = await inline(
        name="a", instances=[{"name": "b", "address": "::1", **written}, {"name": "a", "address": "host"}]
    ).look()
    assert group == Group(
        (Instance("a", "host", 2379, 2380, 2378), Instance("b", "::1", 1, 2, 3)), desired=2, operated=True
    )


async def test_the_last_of_the_list_leave_first() -> None:
    listed = [{"name": name, "address": name} for name in ("c", "a", "d", "b")]
    group = await inline(name="a", instances=listed, desired=2).look()
    assert [(instance.name, instance.presence) for instance in group.instances] == [
        ("a", Presence.PRESENT),
        ("b", Presence.LEAVING),
        ("c", Presence.PRESENT),
        ("d", Presence.LEAVING),
    ]
    assert group.desired == 2


async def test_more_may_be_desired_than_are_listed_yet() -> None:
    group = await inline(name="a", instances=[{"name": "a", "address": "a"}], desired=3).look()
    assert group.desired == 3


async def test_the_medium_and_my_volume_are_passed_on() -> None:
    listed = [{"name": name, "address": name, "volume": f"vol-{name}"} for name in "ab"]
    group = await inline(name="b", instances=listed, medium="ephemeral").look()
    assert group.medium is Medium.EPHEMERAL
    assert group.volume == "vol-b"


NAME = "write letters, digits, dots, dashes and underscores, in quotes where it looks like a number"
ADDRESS = "write a host name or an IP address alone, without scheme, brackets or port"
APART = "give it an address or ports of its own"
PORT = "write a whole number from 1 to 65535"
INSTANCE = "there are name, address, client-port, peer-port, status-port, volume"


def test_everything_wrong_is_told_at_once() -> None:
    assert told(
        name="d",
        instances=[
            {"name": "a", "address": "http://10.0.0.1:2379"},
            {"name": "a", "address": "10.0.0.2", "port": 2379},
            {"name": 3, "address": "10.0.0.2", "client-port": "2379"},
            {"address": "10.0.0.300", "peer-port": 0, "status-port": True, "volume": 7},
            "10.0.0.4",
            {"name": "e", "address": "10.0.0.5", "client-port": 2380},
        ],
        desired=0,
        medium="ssd",
        asg="x",
    ) == [
        "asg.asg: x — there is no such setting here; there are name, instances, desired, file, medium",
        "asg.desired: 0 — write a whole number from 1 to 1000",
        f"asg.instances[0].address: http://10.0.0.1:2379 — {ADDRESS}",
        f"asg.instances[1].port: 2379 — there is no such setting here; {INSTANCE}",
        "asg.instances[1].name: a — asg.instances[0].name has this name, too; names must differ",
        f"asg.instances[2].name: 3 — {NAME}",
        f"asg.instances[2].client-port: 2379 — {PORT}",
        f"asg.instances[2].address: 10.0.0.2 — its client-port 2379 is asg.instances[1].client-port, too; {APART}",
        f"asg.instances[3].name: {NAME}",
        f"asg.instances[3].address: 10.0.0.300 — {ADDRESS}",
        f"asg.instances[3].peer-port: 0 — {PORT}",
        f"asg.instances[3].status-port: True — {PORT}",
        "asg.instances[3].volume: 7 — write the identity of the volume that this instance's data lies on",
        "asg.instances[4]: 10.0.0.4 — write a mapping such as {name: a, address: 10.0.0.1}",
        f"asg.instances[5].address: 10.0.0.5 — its peer-port 2380 is asg.instances[5].client-port, too; {APART}",
        "asg.name: d — no instance has this name; the instances are a, e",
        "asg.medium: ssd — choose one of persistent, instance, ephemeral",
    ]


def test_a_missing_name_is_asked_for_with_the_choice() -> None:
    listed = [{"name": name, "address": name} for name in "ba"]
    assert told(instances=listed) == ["asg.name: write this node's own name, one of a, b"]
    assert told(file="group.yaml") == ["asg.name: write this node's own name"]


def test_nothing_written_at_all_is_asked_for() -> None:
    assert told() == [
        "asg.instances: list every instance, as in [{name: a, address: 10.0.0.1}]",
        "asg.name: write this node's own name",
    ]


def test_a_file_and_a_list_are_one_too_many() -> None:
    assert told(name="a", file="group.yaml", instances=[], desired=3) == [
        "asg.instances: <list> — write it into the file and leave it out here, or leave out asg.file",
        "asg.desired: 3 — write it into the file and leave it out here, or leave out asg.file",
    ]
    assert told(name="a", file=["x"]) == [
        "asg.file: <list> — write the path of a YAML file with `instances` and perhaps `desired`, such as group.yaml"
    ]


@pytest.mark.parametrize("address", ["10.0.0.1", "::1", "fd00::a:1", "etcd-0.etcd.ns.svc", "localhost", "a_b"])
def test_an_address_is_a_host_or_an_ip(address: str) -> None:
    assert inline(name="a", instances=[{"name": "a", "address": address}])


@pytest.mark.parametrize(
    "address",
    ["", " ", "a b", "a:2379", "[::1]", "[::1]:2379", "https://a", "a/b", "1.2.3", "1.2.3.4.5", "0.0.0.0", "::", "-a"],  # noqa: S104 — refused
)
def test_what_is_no_single_host_is_no_address(address: str) -> None:
    assert told(name="a", instances=[{"name": "a", "address": address}])


SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.sampled_from("a1.:/-\0é")) | st.floats()
KEYS = st.sampled_from(
    ["name", "instances", "desired", "file", "medium", "address", "client-port", "peer-port", "volume", "x"]
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@given(st.dictionaries(KEYS, VALUES, max_size=5))
@example({"name": "a", "instances": [{"name": "a", "address": "a", "client-port": 1 << 40000}]})
def test_any_settings_are_either_a_provider_or_problems(settings: dict[str, object]) -> None:
    static, problems = Static.parse(settings, Path("/etc"))
    assert (static is None) == bool(problems)
    assert all(problem.path.startswith("asg.") and problem.hint for problem in problems)


# ---------------------------------------------------------------- the file


async def test_a_file_is_beside_the_configuration_and_read_at_the_look(tmp_path: Path) -> None:
    static = reading(tmp_path / "group.yaml")
    with pytest.raises(Unavailable, match=r"group\.yaml cannot be read: No such file"):
        await static.look()
    write(tmp_path / "group.yaml", THREE)
    assert len((await static.look()).instances) == 3


async def test_a_changed_file_changes_the_group_and_names_who_is_gone(file: Path) -> None:
    static = reading(file)
    assert (await static.look()).gone == ()

    write(file, THREE.replace("name: b, address: 127.0.0.2", "name: d, address: 127.0.0.4"), age=50)
    group = await static.look()
    assert [instance.name for instance in group.instances] == ["a", "c", "d"]
    assert group.gone == ("b",)
    assert group.operated

    write(file, THREE + "desired: 2\n", age=40)
    group = await static.look()
    assert group.gone == ("d",)
    assert [instance.presence for instance in group.instances] == [*[Presence.PRESENT] * 2, Presence.LEAVING]


async def test_a_file_that_went_wrong_says_so_at_every_look_until_it_is_right(file: Path) -> None:
    static = reading(file)
    before = await static.look()

    write(file, THREE.replace("127.0.0.3", "127.0.0.2"), age=50)
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"wrong: instances\[2\]\.address: 127\.0\.0\.2 — its client-port"):
            await static.look()

    write(file, THREE, age=40)
    assert await static.look() == before


async def test_an_unreadable_file_says_so(file: Path) -> None:
    static = reading(file)
    await static.look()
    become_a_directory(file)
    with pytest.raises(Unavailable, match=r"group\.yaml cannot be read: Is a directory"):
        await static.look()


async def test_a_pipe_that_nobody_writes_to_is_no_list_and_holds_nobody_up(file: Path) -> None:
    static = reading(file)
    await static.look()
    become_a_pipe(file)
    with pytest.raises(Unavailable, match=r"group\.yaml is no regular file"):
        await static.look()


async def test_a_list_without_me_is_not_believed_about_anyone(file: Path) -> None:
    static = reading(file, me="z")
    with pytest.raises(Unavailable, match=r"lists a, b, c, but not this node, z"):
        await static.look()


async def test_a_file_that_is_written_line_by_line_is_believed_when_it_is_whole(file: Path) -> None:
    """The first lines of a list are a list, too: nobody is gone because a script is slow."""
    static = reading(file)
    before = await static.look()

    async def rewrite() -> None:
        with file.open("w") as slow:
            for line in THREE.splitlines(keepends=True):
                slow.write(line)
                slow.flush()
                await asyncio.sleep(0.08)

    writing = asyncio.create_task(rewrite())
    await asyncio.sleep(0)
    while not writing.done():
        assert await static.look() == before
    await writing


def test_a_file_that_changes_while_it_is_read_is_unavailable(file: Path) -> None:
    before = _mark(file)
    write(file, THREE, age=30)
    with pytest.raises(Unavailable, match="changed while it was read"):
        _bytes(file, before)


async def test_a_file_that_never_lies_still_is_unavailable(file: Path) -> None:
    static = reading(file)

    async def keep_changing() -> None:
        while True:
            write(file, THREE, age=0)
            await asyncio.sleep(0.05)

    changing = asyncio.create_task(keep_changing())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="keeps changing"):
        await static.look()
    changing.cancel()


async def test_a_file_from_the_future_is_believed_once_it_was_seen_still(file: Path) -> None:
    write(file, THREE, age=-3600)
    assert len((await reading(file).look()).instances) == 3


async def test_an_old_file_is_believed_without_a_wait(file: Path) -> None:
    with pytest.raises(StopIteration):  # it ends at the first step
        reading(file).look().send(None)


async def test_of_a_file_replaced_over_and_over_every_group_seen_was_written_so(file: Path) -> None:
    """Renames in full flight: each look is one of the versions, or no answer."""
    static = reading(file)
    versions = [THREE, THREE.replace("name: c, address: 127.0.0.3", "name: d, address: 127.0.0.4")]
    seen = set()
    for number in range(200):
        write(file.with_suffix(".new"), versions[number % 2], age=60 - number / 10)
        file.with_suffix(".new").replace(file)
        seen.add(tuple(instance.name for instance in (await static.look()).instances))
    assert seen == {("a", "b", "c"), ("a", "b", "d")}
