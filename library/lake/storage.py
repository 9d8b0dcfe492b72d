"""The place of the lake's tables in the object store."""

from dataclasses import dataclass, field

BRONZE = "lake/bronze/"
"""The folder of the bronze tables. Each table has its topic's name."""


@dataclass(frozen=True)
class LakeStorage:
    """A bucket of an S3 server, with its credentials."""

    url: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    def location(self, topic: str) -> str:
        """The URL of a topic's bronze table, for any program that reads Delta."""
        return f"s3://{self.bucket}/{BRONZE}{topic}"

    def options(self) -> dict[str, str]:
        """The options of delta-rs for this bucket."""
        return {
            "aws_endpoint_url": self.url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "aws_region": self.region,
            "aws_virtual_hosted_style_request": "false",
            "aws_allow_http": str(self.url.startswith("http://")).lower(),
            "aws_conditional_put": "etag",  # when two processes write the same version, the second one is refused
            "connect_timeout": "5s",
            "timeout": "60s",
            "max_retries": "5",
            "retry_timeout": "20s",
        }
