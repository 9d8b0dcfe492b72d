"""A cluster that requires TLS and a password: Kafka's own broker, with the settings of an operator."""

import ipaddress
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from config.settings import KafkaSettings, Settings, StackSettings
from library.contracts.errors import WardflowError
from library.contracts.streams import KafkaRefused, KafkaUnavailable
from library.streams.cluster import Cluster, NewTopicSpec
from library.streams.producer import Outgoing, Producer
from library.streams.reader import Reader
from service.resources import kafka_connection
from service.stack import kafka
from service.stack.part import Health
from service.stack.ports import Ports
from service.stack.processes import end, run_to_end, start
from service.stack.runner import ignore_progress
from tests.faults.harness import until_async

USER, PASSWORD = "clinic", "correct-horse"
MODULE = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Secured:
    """The broker's address, and the authority to trust."""

    port: int
    ca_file: Path

    def settings(self, **other: object) -> KafkaSettings:
        """What an operator sets."""
        right = {
            "bootstrap_servers": f"127.0.0.1:{self.port}",
            "security_protocol": "SASL_SSL",
            "sasl_user": USER,
            "sasl_password": SecretStr(PASSWORD),
            "ca_file": self.ca_file,
            "request_timeout": 5.0,
        }
        return KafkaSettings.model_validate(right | other)


def certify(key_and_certificate: Path, certificate: Path) -> None:
    """A certificate for this machine, that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    certificate.write_bytes(text)
    key_and_certificate.write_bytes(secret + text)


@pytest_asyncio.fixture(scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    """The embedded broker, with a listener of its own for those who come from outside."""
    folder = tmp_path_factory.mktemp("secured")
    (folder / "logs").mkdir()
    ports = Ports(folder / "ports.json")
    settings = Settings(environment="test", stack=StackSettings(folder=folder))
    part = await kafka.make(settings, folder, ports, ignore_progress)
    port = ports.choose("secured")
    certify(folder / "keystore.pem", folder / "ca.pem")
    properties = folder / "kafka" / "server.properties"
    before = dict(line.split("=", 1) for line in properties.read_text().splitlines())
    more = {
        "listeners": f"{before['listeners']},SASL_SSL://127.0.0.1:{port}",
        "listener.security.protocol.map": f"{before['listener.security.protocol.map']},SASL_SSL:SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl_ssl.ssl.keystore.type": "PEM",
        "listener.name.sasl_ssl.ssl.keystore.location": str(folder / "keystore.pem"),
        "listener.name.sasl_ssl.plain.sasl.jaas.config": (
            f'{MODULE}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": f"{MODULE}.scram.ScramLoginModule required;",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{MODULE}.scram.ScramLoginModule required;",
    }
    properties.write_text("".join(f"{name}={value}\n" for name, value in (before | more).items()))
    shutil.rmtree(folder / "kafka" / "data")  # users of SCRAM are made with the cluster
    (folder / "kafka" / "data").mkdir()
    users = [f"--add-scram={name}=[name={USER},password={PASSWORD}]" for name in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    tool = ("kafka.tools.StorageTool", "format", "--standalone", "--cluster-id=MkU3OEVBNTcwNTJENDM2Qg", *users)
    await run_to_end((*part.command[:-2], *tool, "-c", str(properties)), folder=part.folder)
    process = start(part, folder)

    async def healthy() -> bool:
        return (await part.check()) == Health()

    try:
        await until_async(healthy)
        yield Secured(port, folder / "ca.pem")
    finally:
        await end(process, part)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_user_with_the_right_password_makes_topics_sends_and_reads(secured: Secured, mechanism: str) -> None:
    connection = kafka_connection(Settings(kafka=secured.settings(sasl_mechanism=mechanism)))
    topic = f"by-{mechanism}"
    async with Cluster(connection) as cluster:
        assert await cluster.make_topics([NewTopicSpec(topic, 1)]) == [topic]
    async with Producer(connection) as producer:
        await producer.send(topic, [Outgoing(b"a record", key=b"key")])
    async with Reader(connection, topic, {0: 0}) as reader:
        (batch,) = await reader.read(max_records=1, max_bytes=1_000, wait=10)
    assert [record.value for record in batch.records] == [b"a record"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"sasl_password": SecretStr("wrong")}, KafkaRefused),
        ({"sasl_user": "nobody", "sasl_mechanism": "SCRAM-SHA-512"}, KafkaRefused),
        ({"ca_file": None}, KafkaUnavailable),
        ({"security_protocol": "SSL"}, KafkaUnavailable),
        ({"security_protocol": "PLAINTEXT"}, KafkaUnavailable),
    ],
    ids=["password", "user", "unknown certificate", "no password", "no TLS"],
)
async def test_others_are_refused_with_a_sentence_that_holds_no_password(
    secured: Secured, wrong: dict[str, object], error: type[WardflowError]
) -> None:
    with pytest.raises(error) as refused:
        async with Cluster(kafka_connection(Settings(kafka=secured.settings(**wrong)))):
            pass
    assert PASSWORD not in str(refused.value)
    assert refused.value.advice
