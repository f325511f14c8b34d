"""Would KAITO run this tuning: a preset it can tune, one input that it may fetch, one output that it may push?"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from generator.checks.webhook.setting import Setting
from generator.checks.webhook.view import Mapping, View, mapping, sequence
from generator.facts import Admission
from generator.finding import Finding


def preset(view: View, setting: Setting) -> Iterator[Finding]:
    if view.tuning is None:
        return
    name = str(mapping(view.tuning.get("preset")).get("name") or "")
    known = setting.facts.preset(name)
    if known and known.tuning:
        return
    hint = f"use one of {_tunable(setting)}"
    if not name:
        yield view.finding("tuning-preset", "tuning.preset", "is missing", hint)
    elif setting.facts.replacement(name):
        yield view.finding("preset-retired", "tuning.preset.name", f"is `{name}`, which KAITO no longer has", hint)
    else:
        yield view.finding("tuning-preset", "tuning.preset.name", f"is `{name}`, which KAITO cannot tune", hint)


def _tunable(setting: Setting) -> str:
    return ", ".join(f"`{preset.name}`" for preset in setting.facts.presets.values() if preset.tuning)


def method(view: View, setting: Setting) -> Iterator[Finding]:
    if view.tuning is None:
        return
    asked, methods = view.tuning.get("method"), setting.facts.admission.tuning_methods
    if str(asked).lower() not in methods:
        listed = " or ".join(f"`{name}`" for name in methods)
        yield view.finding("tuning-method", "tuning.method", f"is `{asked}`", f"use {listed}")


def data(view: View, _: Setting) -> Iterator[Finding]:
    if view.tuning is None:
        return
    source = mapping(view.tuning.get("input"))
    present = _present(source, ("urls", "image", "volumeSource"))
    if len(present) != 1:
        text = f"needs exactly one of `urls`, `image` and `volumeSource`, but has {_listed(present)}"
        yield view.finding("tuning-input", "tuning.input", text, "say where the training data comes from")


def urls(view: View, setting: Setting) -> Iterator[Finding]:
    for index, url in enumerate(sequence(mapping(mapping(view.tuning).get("input")).get("urls"))):
        fault = _url_fault(str(url), setting.facts.admission)
        if fault:
            hint = "use a public `https://` address, an image or a volume"
            yield view.finding("tuning-url", f"tuning.input.urls[{index}]", f"is `{url}`: {fault}", hint)


def output(view: View, _: Setting) -> Iterator[Finding]:
    if view.tuning is None:
        return
    target = mapping(view.tuning.get("output"))
    present = _present(target, ("image", "volumeSource"))
    if len(present) != 1:
        text = f"needs exactly one of `image` and `volumeSource`, but has {_listed(present)}"
        yield view.finding("tuning-output", "tuning.output", text, "say where the adapter goes")
    if "image" in present and not target.get("imagePushSecret"):
        text = "is missing, but the adapter is pushed as an image"
        yield view.finding("tuning-output", "tuning.output.imagePushSecret", text, "name the registry's Secret")


def _present(part: Mapping, fields: tuple[str, ...]) -> list[str]:
    """A volume counts when it is named at all, as in KAITO: `volumeSource: {}` is one."""
    return [field for field in fields if (part.get(field) is not None if field == "volumeSource" else part.get(field))]


def _listed(fields: list[str]) -> str:
    return " and ".join(f"`{field}`" for field in fields) or "none"


def _url_fault(url: str, admission: Admission) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "not a URL"
    if not host:
        return "not a URL"
    if parts.scheme.lower() not in ("http", "https"):
        return "the download takes HTTP and HTTPS only"
    if any(fnmatchcase(host, pattern) for pattern in admission.blocked_hosts):
        return "KAITO refuses local and metadata hosts"
    address = _address(host)
    if address and any(address in network for network in admission.blocked_networks):
        return "KAITO refuses loopback, private and link-local addresses"
    return ""


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


RULES = (preset, method, data, urls, output)
