"""Settings of the records source: the limits of its posts, and the names of its topics."""

from pydantic import Field

from config.servers import Section, TopicName


class RecordSettings(Section):
    """Records by API.

    Attributes:
        per_second: records that one user may post, steadily; each process counts by itself.
        burst: that one may post at once after a pause; no less than the longest list.
        under_way: records that wait for Kafka at once in a process; beyond, posts are answered with 503.
        deliver_within: seconds that Kafka gets to acknowledge them.
    """

    per_second: float = Field(default=1_000.0, ge=0.001, allow_inf_nan=False)
    burst: int = Field(default=10_000, ge=1_000)
    under_way: int = Field(default=20_000, ge=1_000)
    deliver_within: float = Field(default=10.0, gt=0)


class RecordTopics(Section):
    """The topics of records, in the section `kafka`.

    Attributes:
        patient_topic, admissions_topic, lab_results_topic: their names in the cluster.
    """

    patient_topic: TopicName = "patient"
    admissions_topic: TopicName = "admissions"
    lab_results_topic: TopicName = "lab_results"

    @property
    def topics(self) -> tuple[str, ...]:
        """All of them."""
        return (self.patient_topic, self.admissions_topic, self.lab_results_topic)
