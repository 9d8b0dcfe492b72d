"""Settings of the records source: the limits of its posts, and the names of its topics."""

from pydantic import Field

from config.servers import Section, TopicName


class RecordSettings(Section):
    """Posted records.

    Attributes:
        per_second: records a second that one user may post. Each process counts by itself.
        burst: records that one user may post at once after a pause; at least the longest list.
        under_way: the most records of a process that wait for Kafka. Further posts get status 503.
        deliver_within: seconds to wait for Kafka's acknowledgement.
    """

    per_second: float = Field(default=1_000.0, ge=0.001, allow_inf_nan=False)
    burst: int = Field(default=10_000, ge=1_000)
    under_way: int = Field(default=20_000, ge=1_000)
    deliver_within: float = Field(default=10.0, gt=0)


class RecordTopics(Section):
    """The topics of records, in the section `kafka`.

    Attributes:
        patient_topic, admissions_topic, lab_results_topic: the topics' names in the cluster.
    """

    patient_topic: TopicName = "patient"
    admissions_topic: TopicName = "admissions"
    lab_results_topic: TopicName = "lab_results"

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics of records."""
        return (self.patient_topic, self.admissions_topic, self.lab_results_topic)
