"""Settings of the records source: the names of its topics."""

from config.servers import Section, TopicName


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
