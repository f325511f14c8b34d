"""Would KAITO serve what `inference` asks for: a preset it has, with its token, adapters and engine settings?"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from generator.checks.webhook.setting import ConfigFile, Setting, missing, parsed, unreadable
from generator.checks.webhook.view import Mapping, View, mapping, sequence
from generator.finding import Finding

HUB_ID = re.compile(r"[^/\s]+/[^/\s]+")
DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def one_source(view: View, _: Setting) -> Iterator[Finding]:
    if view.inference is None:
        return
    present = [source for source in ("preset", "template") if view.inference.get(source) is not None]
    if len(present) != 1:
        text = f"and `template`: exactly one must be set, here {'both' if present else 'neither'}"
        hint = "`preset` runs a model of KAITO's, `template` a pod of yours"
        yield view.finding("one-source", view.under_inference("preset"), text, hint)


def preset(view: View, setting: Setting) -> Iterator[Finding]:
    if mapping(view.inference).get("preset") is None:
        return
    name, field = view.preset_name, view.under_inference("preset.name")
    replacement = setting.facts.replacement(name)
    if replacement:
        hint = f"choose a current preset, for example `{replacement}`"
        yield view.finding("preset-retired", field, f"is `{name}`, which KAITO no longer has", hint)
    elif setting.facts.preset(name) is None and not HUB_ID.fullmatch(name):
        text = f"is `{name}`, which is neither a preset of KAITO nor a hub id"
        yield view.finding("preset-known", field, text, "use the hub id, `organisation/name`")


def access_secret(view: View, setting: Setting) -> Iterator[Finding]:
    known = setting.facts.preset(view.preset_name)
    options = mapping(mapping(mapping(view.inference).get("preset")).get("presetOptions"))
    if known and known.gated and not options.get("modelAccessSecret"):
        field = view.under_inference("preset.presetOptions.modelAccessSecret")
        text = f"is missing, but the hub wants a token for `{known.name}`"
        yield view.finding("model-access-secret", field, text, "name a Secret that holds the key `HF_TOKEN`")


def adapter_number(view: View, setting: Setting) -> Iterator[Finding]:
    number, limit = len(_adapters(view)), setting.facts.admission.max_adapters
    if number > limit:
        text = f"has {number} entries, KAITO takes {limit}"
        yield view.finding("adapters", view.under_inference("adapters"), text, "serve the rest from a second model")


def adapter_names(view: View, _: Setting) -> Iterator[Finding]:
    names = [mapping(adapter.get("source")).get("name") for adapter in _adapters(view)]
    for name, times in Counter(map(str, filter(None, names))).items():
        if times > 1:
            text = f"has {times} entries whose source is named `{name}`"
            yield view.finding("adapter-name", view.under_inference("adapters"), text, "give each adapter its own name")
    for index, given in enumerate(names):
        if not isinstance(given, str) or not DNS_SUBDOMAIN.fullmatch(given):
            text = f"is `{given}`, not a DNS-1123 name" if given else "is missing"
            yield view.finding("adapter-name", _adapter_field(view, index, "source.name"), text, "name the adapter")


def adapter_sources(view: View, _: Setting) -> Iterator[Finding]:
    """KAITO asks this only when a Workspace is edited; an object that no edit can pass is wrong from the start."""
    for index, adapter in enumerate(_adapters(view)):
        source = mapping(adapter.get("source"))
        if source.get("urls"):
            text = "is set, but an adapter comes from an image or a volume"
            yield view.finding("adapter-source", _adapter_field(view, index, "source.urls"), text, "use `source.image`")
        elif bool(source.get("image")) == (source.get("volumeSource") is not None):
            text = "needs exactly one of `image` and `volumeSource`"
            hint = "name the one place that holds the adapter"
            yield view.finding("adapter-source", _adapter_field(view, index, "source"), text, hint)


def adapter_strength(view: View, _: Setting) -> Iterator[Finding]:
    for index, adapter in enumerate(_adapters(view)):
        strength = adapter.get("strength")
        if strength is None:
            continue
        field = _adapter_field(view, index, "strength")
        if not isinstance(strength, str) or not _is_share(strength):
            text = f"is `{strength}`, not a number from 0 to 1 in quotes"
            yield view.finding("adapter-strength", field, text, 'write `"0.5"`, for example')
        elif view.runtime == "vllm":
            hint = "leave it out, or set the annotation `kaito.sh/runtime: transformers`"
            yield view.finding("adapter-strength", field, "is set, but vLLM does not weigh adapters", hint)


def config(view: View, setting: Setting) -> Iterator[Finding]:
    name = mapping(view.inference).get("config")
    if not name:
        return
    file = ConfigFile(view.under_inference("config"), str(name), "inference_config.yaml")
    yield from missing(view, setting, file)
    if view.runtime != "vllm":
        return
    try:
        settings = parsed(view, setting, file)
    except yaml.YAMLError as error:
        yield unreadable(view, file, error)
    else:
        flags = mapping(mapping(settings).get("vllm"))
        yield from _flags_are_scalars(view, file, flags)
        yield from _within_token_limit(view, setting, file, flags)


def _flags_are_scalars(view: View, file: ConfigFile, flags: Mapping) -> Iterator[Finding]:
    for flag, value in flags.items():
        if isinstance(value, dict | list):
            text = f"names ConfigMap `{file.config_map}`, whose flag `vllm.{flag}` is not a plain value"
            yield view.finding("config-content", file.field, text, "write the flag's JSON as one string")


def _within_token_limit(view: View, setting: Setting, file: ConfigFile, flags: Mapping) -> Iterator[Finding]:
    known = setting.facts.preset(view.preset_name)
    asked = str(flags.get("max-model-len") or "").strip()
    if known is None or not asked:
        return
    if not re.fullmatch(r"[-+]?[0-9]+", asked):
        text = f"names ConfigMap `{file.config_map}`, whose `vllm.max-model-len` is `{asked}`, not a whole number"
        yield view.finding("max-model-len", file.field, text, "write the number of tokens, or leave the flag out")
    elif int(asked) > known.context_limit:
        text = f"sets `vllm.max-model-len` to {asked}, but `{known.name}` ends at {known.context_limit} tokens"
        yield view.finding("max-model-len", file.field, text, f"ask for at most {known.context_limit}")


def _adapters(view: View) -> list[Mapping]:
    return [mapping(adapter) for adapter in sequence(mapping(view.inference).get("adapters"))]


def _adapter_field(view: View, index: int, field: str) -> str:
    return view.under_inference(f"adapters[{index}].{field}")


def _is_share(text: Any) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


RULES = (one_source, preset, access_secret, adapter_number, adapter_names, adapter_sources, adapter_strength, config)
