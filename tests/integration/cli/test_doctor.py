"""What `wardflow doctor` says of streams."""

from config.settings import Settings
from library.contracts.lake import Archived
from library.warehouse.archives import Archives
from library.warehouse.offsets import Offsets
from library.warehouse.pool import Pool
from service.stack.doctor import stopped

PATIENT, ADMISSIONS = "patient", "admissions"


async def test_the_doctor_tells_which_partitions_have_stopped_and_nothing_of_paused_ones(
    settings: Settings, pool: Pool
) -> None:
    with_kafka = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"enabled": True})})
    offsets = Offsets(pool)
    for topic in (PATIENT, ADMISSIONS):
        await offsets.begin(topic, 0, topic_id="an id", beginning=0)
    await offsets.pause(ADMISSIONS, paused=True)
    assert await stopped(with_kafka) == []
    (position,) = await offsets.of([PATIENT])
    assert await offsets.stop(position, "offset 0 is gone")
    lost = Archived(
        topic=PATIENT, incarnation=1, records=0, size=0, appends=0, positions={1: 5}, gaps=(), stopped={1: "lost"}
    )
    await Archives(pool).enter(lost)
    assert [each.message for each in await stopped(with_kafka)] == [
        "The drain of patient/0 has stopped: offset 0 is gone",
        "The archive of patient/1 has stopped: lost",
    ]
    assert (
        await stopped(settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"enabled": False})})) == []
    )
