"""Children are replaced as a set with their parent: by the newest parent, and by one load alone."""

import asyncio

from library.contracts.loads import DatasetCounts
from tests.support.made_up import BED, WARD
from tests.support.warehouse import Family, MadeUpSource


async def test_loads_of_the_same_parents_at_once_leave_the_beds_of_one_of_them(made_up: MadeUpSource) -> None:
    # Equal order and equal ward: no ward is written twice, and so no row lock keeps the loads of their beds apart.
    requests = [
        made_up.wards(*(Family((f"w{ward}", "same", 1), [(number, f"kind {writer}")]) for ward in range(40)))
        for writer in range(5)
        for number in [writer]
    ]
    await asyncio.gather(*(made_up.load(request) for request in requests))

    beds = await made_up.table(BED, "ward_code", "number", "kind")
    assert len(beds) == 40
    assert len({kind for _, _, kind in beds}) == 1


async def test_a_late_load_of_an_old_reader_leaves_the_children_that_a_newer_one_read(made_up: MadeUpSource) -> None:
    for version, kind in ((1, "wrong"), (2, "right"), (1, "wrong")):
        await made_up.load(made_up.wards(Family(("a", "A", 1), [(1, kind)]), version=version))
    assert await made_up.table(BED, "kind") == [("right",)]


async def test_a_parents_children_are_replaced_as_a_set(made_up: MadeUpSource) -> None:
    await made_up.load(
        made_up.wards(Family(("a", "A", 1), [(1, "old"), (2, "old"), (3, "old")]), Family(("b", "B", 1), [(1, "b")]))
    )
    kept = (await made_up.table(BED, "ward_code", "number", "xmin::text"))[1]
    result = await made_up.load(made_up.wards(Family(("a", "A", 2), [(2, "old"), (4, "new")])))

    assert await made_up.table(BED, "ward_code", "number", "kind") == [
        ("a", 2, "old"),
        ("a", 4, "new"),
        ("b", 1, "b"),
    ]
    assert (await made_up.table(BED, "ward_code", "number", "xmin::text"))[0] == kept
    assert result.counts[BED.name] == DatasetCounts(staged=2, inserted=1, unchanged=1, deleted=2)


async def test_children_are_replaced_also_where_the_parents_own_row_is_unchanged(made_up: MadeUpSource) -> None:
    await made_up.load(made_up.wards(Family(("a", "A", 1), [(1, "x"), (2, "x")])))
    result = await made_up.load(made_up.wards(Family(("a", "A", 1), [(2, "y")])))
    assert result.counts[WARD.name].unchanged == 1
    assert await made_up.table(BED, "number", "kind") == [(2, "y")]


async def test_a_parent_may_lose_all_its_children(made_up: MadeUpSource) -> None:
    await made_up.load(made_up.wards(Family(("a", "A", 1), [(1, "x")])))
    await made_up.load(made_up.wards(Family(("a", "A", 2))))
    assert await made_up.table(BED) == []


async def test_children_of_an_older_parent_change_nothing(made_up: MadeUpSource) -> None:
    await made_up.load(made_up.wards(Family(("a", "new", 5), [(1, "new")])))
    await made_up.load(made_up.wards(Family(("a", "old", 4), [(1, "old"), (2, "old")])))
    assert await made_up.table(BED, "number", "kind") == [(1, "new")]


async def test_of_one_parent_twice_in_a_load_only_the_newests_children_count(made_up: MadeUpSource) -> None:
    result = await made_up.load(
        made_up.wards(Family(("a", "new", 2), [(1, "new")]), Family(("a", "old", 1), [(1, "old"), (2, "old")]))
    )
    assert await made_up.table(BED, "number", "kind") == [(1, "new")]
    assert result.counts[BED.name] == DatasetCounts(staged=3, repeated=2, inserted=1)


async def test_children_of_a_refused_parent_are_refused_with_it(made_up: MadeUpSource) -> None:
    result = await made_up.load(
        made_up.wards(Family(("a", "A", "no number"), [(1, "x")]), Family(("b", "B", 1), [(1, "y")]))
    )
    assert await made_up.table(BED, "ward_code") == [("b",)]
    assert [(row["dataset"], row["line"], row["reasons"]) for row in await made_up.rejections()] == [
        (BED.name, 1, ["parent refused"]),
        (WARD.name, 1, ["version: not a whole number"]),
    ]
    assert result.counts[BED.name] == DatasetCounts(staged=2, rejected=1, inserted=1)
    assert result.counts[WARD.name] == DatasetCounts(staged=2, rejected=1, inserted=1)


async def test_children_that_were_left_without_their_parent_are_replaced_when_it_comes_again(
    made_up: MadeUpSource,
) -> None:
    await made_up.load(made_up.wards(Family(("a", "A", 1), [(1, "old"), (2, "old")])))
    await made_up.pool.execute("DELETE FROM made_up.ward")
    assert len(await made_up.table(BED)) == 2
    result = await made_up.load(made_up.wards(Family(("a", "A", 2), [(2, "new"), (3, "new")])))
    assert result.counts[WARD.name].inserted == 1
    assert await made_up.table(BED, "number", "kind") == [(2, "new"), (3, "new")]
