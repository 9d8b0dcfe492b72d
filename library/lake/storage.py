"""Where the lake's tables are."""

from dataclasses import dataclass, field

BRONZE = "lake/bronze/"
"""Below it lies a table for each topic, by the topic's name."""


@dataclass(frozen=True)
class LakeStorage:
    """A bucket of any S3."""

    url: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    def location(self, topic: str) -> str:
        """The address of a topic's bronze table, for anything that reads Delta."""
        return f"s3://{self.bucket}/{BRONZE}{topic}"

    def options(self) -> dict[str, str]:
        """As delta-rs and its object store name them."""
        return {
            "aws_endpoint_url": self.url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "aws_region": self.region,
            "aws_virtual_hosted_style_request": "false",
            "aws_allow_http": str(self.url.startswith("http://")).lower(),
            "aws_conditional_put": "etag",  # of two writers of one version the second is refused
            "connect_timeout": "5s",
            "timeout": "60s",
            "max_retries": "5",
            "retry_timeout": "20s",
        }
