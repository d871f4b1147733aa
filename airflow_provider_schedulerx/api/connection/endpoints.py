"""Where the service is: a pure function from region and network to an endpoint.

The official SDK's own resolution is not used: it ignores ``network="vpc"`` for the regions it
maps and makes up a host name for those that it does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

#: Regions with SchedulerX 2.0 (API page "Endpoints"); ``public`` is the Internet region.
REGIONS = (
    "cn-hangzhou",
    "cn-shanghai",
    "cn-beijing",
    "cn-shenzhen",
    "cn-qingdao",
    "cn-zhangjiakou",
    "cn-huhehaote",
    "cn-wulanchabu",
    "cn-guangzhou",
    "cn-chengdu",
    "cn-hongkong",
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-3",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ap-southeast-8",
    "us-west-1",
    "us-east-1",
    "eu-central-1",
    "eu-west-1",
    "cn-shanghai-finance-1",
    "public",
)

NETWORKS = ("public", "vpc")

#: Listed without a VPC endpoint (API page "Endpoints").
_WITHOUT_VPC = ("ap-southeast-8",)

_DEFAULT_PORTS = {"http": 80, "https": 443}

# Regions open faster than providers are released, so an unlisted one of this form is let through.
_REGION_FORM = re.compile(r"[a-z]{2}(-[a-z0-9]+)+")
_HOST_FORM = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """:ivar scheme: ``http`` or ``https``.
    :ivar authority: ``host`` or ``host:port``.
    """

    scheme: str
    authority: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def check_region(region_id: str) -> str:
    """Return ``region_id``, or raise if it cannot be one.

    :raises SchedulerXConfigurationError: if it does not have the form of a region id.
    """
    if region_id in REGIONS or _REGION_FORM.fullmatch(region_id):
        return region_id
    import difflib

    near = difflib.get_close_matches(region_id.strip().lower().replace("_", "-"), REGIONS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "use an id such as 'cn-hangzhou', or 'public'"
    raise SchedulerXConfigurationError(
        f"region_id {region_id!r} does not have the form of a region id; {hint}", field="region_id"
    )


def resolve_endpoint(
    region_id: str, network: str = "public", host: str | None = None, port: int | None = None
) -> Endpoint:
    """Say where to send requests (API page "Endpoints").

    :param region_id: region, such as ``cn-hangzhou``, or ``public``.
    :param network: ``public`` (``schedulerx.aliyuncs.com`` for every region) or ``vpc``
        (``schedulerx-vpc.<region>.aliyuncs.com``, reached only from inside that region).
    :param host: ``host``, ``host:port`` or either with ``http://`` or ``https://``; overrides the rest.
    :param port: port, if ``host`` names none; 0 counts as none.
    :raises SchedulerXConfigurationError: naming the field that is wrong.
    """
    if network not in NETWORKS:
        raise SchedulerXConfigurationError(
            f"network {network!r} is not one of {', '.join(NETWORKS)}", field="network"
        )
    # Airflow's UI makes 0 of a blank port.
    port = port or None
    if host:
        return _explicit_endpoint(host, port)
    if port not in (None, _DEFAULT_PORTS["https"]):
        raise SchedulerXConfigurationError(
            f"port is {port} but host is not set; set host as well, or clear port", field="port"
        )
    check_region(region_id)
    if network == "vpc":
        if region_id == "public":
            raise SchedulerXConfigurationError(
                "region 'public' is the Internet and has no VPC endpoint; "
                "set network to 'public', or region_id to the region of your VPC",
                field="network",
            )
        if region_id in _WITHOUT_VPC:
            raise SchedulerXConfigurationError(
                f"region {region_id!r} has no VPC endpoint; set network to 'public'", field="network"
            )
        return Endpoint("https", f"schedulerx-vpc.{region_id}.aliyuncs.com")
    return Endpoint("https", "schedulerx.aliyuncs.com")


def _explicit_endpoint(host: str, port: int | None) -> Endpoint:
    def wrong(why: str) -> SchedulerXConfigurationError:
        # The value is not repeated: people paste URLs with credentials into this field.
        return SchedulerXConfigurationError(
            f"host {why}; give 'host', 'host:port', 'http://host:port' or 'https://host:port'", field="host"
        )

    scheme, separator, rest = host.strip().partition("://")
    if not separator:
        scheme, rest = "https", scheme
    if scheme not in ("http", "https"):
        raise wrong("has a scheme that is neither http nor https")
    authority = rest.rstrip("/")
    if "@" in authority:
        raise wrong("contains '@'; the AccessKey belongs in login and password")
    if not _HOST_FORM.fullmatch(authority):
        raise wrong("is not a host name with an optional port")
    try:
        own_port = urlsplit(f"//{authority}").port
    except ValueError:
        raise wrong("has a port above 65535") from None
    if own_port is None and port is not None:
        own_port, authority = port, f"{authority}:{port}"
    elif own_port is not None and port not in (None, own_port):
        raise SchedulerXConfigurationError(
            f"host names port {own_port} but port is {port}; clear one of them", field="port"
        )
    if own_port == _DEFAULT_PORTS[scheme]:
        # HTTP clients leave it out of the header "host", which is signed.
        authority = authority.removesuffix(f":{own_port}")
    return Endpoint(scheme, authority)
