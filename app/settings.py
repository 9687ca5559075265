"""Every setting of the service, read once from the environment (prefix ``CLIPVET_``).

The rest of the service takes its settings from here. The defaults are the embedded service: SQLite
and a folder under ``data_dir``, no broker. Durations are seconds, sizes bytes.
"""

from __future__ import annotations

import ipaddress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024

RETRY_SCHEDULE_S = (
    0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400,
)  # fmt: skip
"""Wait before webhook attempt n (Standard Webhooks 1.0): 0 s, 5 s, 5 m, 30 m, 2 h, 5 h,
10 h, 14 h, 20 h, 24 h."""

SandboxLevel = Literal["plain", "rlimits", "landlock", "seccomp", "namespaces"]
"""How well the reader of uploads is caged, from the weakest; SECURITY.md says what each means."""


def _check_cidrs(values: list[str]) -> list[str]:
    for value in values:
        ipaddress.ip_network(value)
    return values


def _check_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if not text.strip():
        raise ValueError("is set but empty, which would let anybody in; give a token, or unset it")
    if text != text.strip() or not (text.isascii() and text.isprintable()):
        raise ValueError("is printable ASCII without spaces around it, as it travels in a header")
    return token


def _check_public_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("begins with http:// or https:// and names a host")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("has no query, fragment or credentials")
    return url.rstrip("/")


ApiToken = Annotated[SecretStr, AfterValidator(_check_token)]
PublicUrl = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]*$", max_length=400),
    AfterValidator(_check_public_url),
]


class Settings(BaseSettings):
    """The environment of API and worker alike; both must see the same values."""

    model_config = SettingsConfigDict(
        env_prefix="CLIPVET_", extra="ignore", hide_input_in_errors=True
    )

    data_dir: Path = Path("clipvet-data")
    database_url: str | None = None
    broker_url: str | None = None
    store_url: str | None = None
    """None: a folder under ``data_dir``; else ``s3://bucket[/prefix]``."""
    s3_endpoint_url: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key: SecretStr | None = None
    s3_secret_key: SecretStr | None = None

    api_token: ApiToken | None = None
    """One static bearer token; unset leaves the API open (bind it to loopback then). Set but empty
    is an error: whoever sets it means to keep strangers out."""
    public_url: Annotated[PublicUrl | None, BeforeValidator(lambda given: given or None)] = None
    """Base of absolute links in answers and webhooks; None: links begin with a slash. What a
    request says in ``Host`` shapes none."""
    signing_keys: Annotated[Path | None, BeforeValidator(lambda given: given or None)] = None
    """Folder of the keys that sign verdicts, made on first use (0700, its files 0600); None:
    beside ``data_dir``, its name followed by ``-keys``. Only the API reads it. Several API
    processes share one; a mounted secret may be read-only and readable to the group."""
    docs: bool = True
    """Whether ``/docs`` and ``/openapi.json`` are answered."""

    max_upload_bytes: ByteSize = ByteSize(4 * 1024 * MIB)
    part_bytes: Annotated[ByteSize, Field(ge=1024)] = ByteSize(64 * MIB)
    min_free_bytes: ByteSize | None = None
    """Below this much free space ``/readyz`` is 503, and a worker that met a full disk takes no
    job; None: one part, at least 64 MiB."""
    max_body_bytes: ByteSize = ByteSize(2 * MIB)
    """Limit on JSON bodies; a class list of 20,000 names is about 400 KB."""
    header_timeout_s: Annotated[float, Field(gt=0)] = 10
    """From a connection, or the first byte of its next request, to the end of the header."""
    body_timeout_s: Annotated[float, Field(gt=0)] = 20
    """Longest silence within a body, and after which its average rate counts."""
    body_min_bytes_per_s: Annotated[int, Field(ge=0)] = 1024
    """A tenth of what the slowest mobile network carries; a part of 64 MiB would take 18 hours."""
    answer_timeout_s: Annotated[float, Field(gt=0)] = 60
    """A client that reads nothing of its answer for so long has gone. TCP tells of progress in
    steps of up to 64 KiB, so this is no less than a slow reader needs for one."""
    max_connections: Annotated[int, Field(ge=16)] = 2000
    """At a time, at most; fewer where the process may open fewer files. Beyond it the one that
    waits longest without a request makes room."""
    upload_ttl_s: float = 24 * 3600
    idempotency_ttl_s: float = 24 * 3600
    default_deadline_s: float = 24 * 3600

    lease_s: Annotated[float, Field(ge=1, le=1800)] = 90
    max_attempts: Annotated[int, Field(ge=1)] = 3
    """What an inspection may end by itself, as when its process dies. What happens to store,
    database, broker or worker is none of its attempts."""
    max_worker_losses: Annotated[int, Field(ge=0)] = 10
    """How many workers may die while they have one inspection, before it is taken for the cause."""
    retry_delay_s: Annotated[float, Field(ge=0, le=60)] = 2
    poll_s: float = 1
    """How often a running inspection looks for cancel and deadline, an idle worker for work."""
    housekeeping_s: float = 2
    event_interval_s: float = 2
    """Progress inside one stage becomes an event at most this often."""

    purge_s: Annotated[float, Field(gt=0)] = 600
    """How often some worker deletes what nobody can ask for any more."""
    purge_grace_s: Annotated[float, Field(ge=0)] = 3600
    """What is younger is left alone."""
    retain_uploads_s: Annotated[float | None, Field(ge=0)] = None
    """Uploaded bytes older than that go when no inspection needs them; hash and
    results stay. None: kept."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    backbones: dict[str, str] = {}
    """Registered backbones: id → what ``clipvet inspect --backbone`` takes (a local folder, say),
    which no answer ever tells."""
    calibrations: Annotated[Path | None, BeforeValidator(lambda given: given or None)] = None
    """Folder of files of ``clipvet calibrate``; reports carry the p-value of
    the one that fits best."""
    inspector_command: list[str] | None = None
    """None: this interpreter with ``-I -m inspector job``."""
    sandbox_floor: SandboxLevel = "plain"
    """A worker on a machine that offers less fails every job instead of reading an upload."""
    child_max_jobs: Annotated[int, Field(ge=1)] = 50
    child_silence_s: float = 1800
    """An inspection child that says nothing for so long is taken for hung and replaced."""

    webhook_allow_cidrs: Annotated[list[str], AfterValidator(_check_cidrs)] = []
    webhook_allow_http: bool = False
    webhook_timeout_s: Annotated[float, Field(gt=0)] = 15
    """One attempt, from resolving the name to the end of what is read of the answer."""
    webhook_senders: Annotated[int, Field(ge=4)] = 128
    """Attempts that one worker makes at a time; nearly all of them only wait."""
    webhook_retry_s: Annotated[
        list[Annotated[float, Field(ge=0, allow_inf_nan=False)]], Field(min_length=1)
    ] = list(RETRY_SCHEDULE_S)
    """Wait before each attempt at a delivery; after the last it is given up."""

    @field_validator("signing_keys")
    @classmethod
    def _keys_lie_apart(cls, given: Path | None, others: ValidationInfo) -> Path | None:
        data_dir = others.data.get("data_dir")
        if given and data_dir and given.resolve().is_relative_to(data_dir.resolve()):
            raise ValueError(
                "lies in the data folder, and whoever copies the data would have the key; name a "
                "folder apart from it"
            )
        return given

    @property
    def is_embedded(self) -> bool:
        """Without a broker one worker on the same data folder polls the rows."""
        return self.broker_url is None

    @property
    def resolved_database_url(self) -> str:
        """SQLAlchemy's URL: psycopg 3 for PostgreSQL, a file under ``data_dir`` by default."""
        if self.database_url:
            url = self.database_url
            for plain in ("postgresql://", "postgres://"):
                if url.startswith(plain):
                    return "postgresql+psycopg://" + url.removeprefix(plain)
            return url
        return f"sqlite:///{(self.data_dir / 'clipvet.sqlite3').absolute()}"

    @property
    def keep_s(self) -> float:
        """How often a worker extends its lease and looks for cancel and deadline."""
        return min(self.poll_s, self.lease_s / 3)

    @property
    def needed_free_bytes(self) -> int:
        """Bytes that stay free: ``min_free_bytes``, or one part and no less than 64 MiB."""
        if self.min_free_bytes is not None:
            return int(self.min_free_bytes)
        return max(int(self.part_bytes), 64 * MIB)

    @property
    def signing_dir(self) -> Path:
        """Where the signing keys lie; absolute."""
        if self.signing_keys is not None:
            return self.signing_keys.absolute()
        data_dir = self.data_dir.absolute()
        return data_dir.with_name(f"{data_dir.name}-keys")

    @property
    def spool_dir(self) -> Path:
        """Where bytes lie while they arrive; on the same file system as the folder store."""
        return self.data_dir.absolute() / "spool"

    @property
    def scratch_dir(self) -> Path:
        """Where the worker keeps a job's files; absolute."""
        return self.data_dir.absolute() / "scratch"

    @cached_property
    def allowed_networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """``webhook_allow_cidrs``, parsed."""
        return [ipaddress.ip_network(cidr) for cidr in self.webhook_allow_cidrs]
