"""How the API server of a cluster is reached: from inside it, by an operator's file, by a kubeconfig in a secret, or by
its address and a token.

A kubeconfig in a secret comes from a user. It may hold data only: programs it would run and files it would read belong
to the executor's host, and are refused.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from yarl import URL

LOCAL: Final = "local"
MAX_KUBECONFIG_BYTES: Final = 1024 * 1024
_HOST_FIELDS: Final = frozenset(
    {"exec", "auth-provider", "client-certificate", "client-key", "certificate-authority", "tokenFile", "proxy-url"}
)


class KubeconfigRefused(ValueError):
    """A kubeconfig that cannot be used, with the reason for a person."""


async def from_host(config: str, context: str | None) -> Any:
    """The library's configuration from inside the cluster (`local`) or from an operator's file.

    Raises `KubeconfigRefused`.
    """
    from kubernetes_asyncio import config as loaders
    from kubernetes_asyncio.client import Configuration

    configuration: Any = Configuration()
    try:
        if config == LOCAL:
            loaders.load_incluster_config(configuration)
        else:
            await loaders.load_kube_config(config, context=context, client_configuration=configuration)
    except _unusable() as error:
        raise KubeconfigRefused(f"{config} cannot be used: {error}") from error
    return configuration


async def from_secret(content: str, context: str | None) -> Any:
    """The same from the text of a kubeconfig that a user gave."""
    from kubernetes_asyncio import config as loaders
    from kubernetes_asyncio.client import Configuration

    configuration: Any = Configuration()
    try:
        await loaders.load_kube_config_from_dict(_data_only(content), context, configuration)
    except _unusable() as error:
        raise KubeconfigRefused(f"the kubeconfig cannot be used: {error}") from error
    return configuration


async def from_token(server: str, token: str | None, authority: str | None) -> Any:
    """The same from an address, a token, and the certificate of its authority in PEM."""
    cluster: dict[str, str] = {"server": server}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": {"token": token} if token else {}}],
        "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "context",
    }
    return await from_secret(yaml.safe_dump(document), None)


def authority(url: str) -> str:
    """Host and port of an address, as the address guard lists them."""
    parsed = URL(url)
    host = parsed.host or ""
    return f"[{host}]:{parsed.port}" if ":" in host else f"{host}:{parsed.port}"


def _unusable() -> tuple[type[Exception], ...]:
    from kubernetes_asyncio.config import ConfigException

    return (ConfigException, OSError, yaml.YAMLError, ValueError, KeyError, TypeError)


def _data_only(content: str) -> dict[str, Any]:
    """The document. Raises `KubeconfigRefused` for fields that reach for the host."""
    if len(content.encode()) > MAX_KUBECONFIG_BYTES:
        raise KubeconfigRefused(f"the kubeconfig is longer than {MAX_KUBECONFIG_BYTES} bytes")
    document = yaml.safe_load(content)
    if not isinstance(document, dict):
        raise KubeconfigRefused("the kubeconfig is no YAML document with fields")
    for path, name in _fields(document):
        if name in _HOST_FIELDS:
            raise KubeconfigRefused(f"{path} is not allowed in a secret: use the form that holds data, or a token")
    return document  # pyright: ignore[reportUnknownVariableType]


def _fields(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, part in value.items():  # pyright: ignore[reportUnknownVariableType]
            place = f"{path}.{name}" if path else str(name)  # pyright: ignore[reportUnknownArgumentType]
            yield place, str(name)  # pyright: ignore[reportUnknownArgumentType]
            yield from _fields(part, place)
    elif isinstance(value, list):
        for at, part in enumerate(value):  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
            yield from _fields(part, f"{path}[{at}]")
