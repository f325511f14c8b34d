"""Would KAITO take the training configuration: its sections, its quantization for the method, its output folder?"""

import posixpath
from collections.abc import Iterator

import yaml

from generator.checks.webhook.setting import ConfigFile, Setting, missing, parsed, unreadable
from generator.checks.webhook.view import Mapping, View, mapping
from generator.finding import Finding

BASE = "/mnt"
BITS = ("load_in_4bit", "load_in_8bit")


def config(view: View, setting: Setting) -> Iterator[Finding]:
    name = mapping(view.tuning).get("config")
    if not name:
        return
    file = ConfigFile("tuning.config", str(name), "training_config.yaml")
    broken = list(missing(view, setting, file))
    if broken:
        yield from broken
        return
    try:
        content = mapping(parsed(view, setting, file)).get("training_config")
    except yaml.YAMLError as error:
        yield unreadable(view, file, error)
        return
    if isinstance(content, dict):
        yield from _sections(view, setting, content)
        yield from _quantization(view, mapping(content.get("QuantizationConfig")))
        yield from _output_dir(view, mapping(content.get("TrainingArguments")))
    else:
        text = "names a file without a map `training_config` at its top"
        yield view.finding("config-content", file.field, text, "put the sections under `training_config`")


def _sections(view: View, setting: Setting, content: Mapping) -> Iterator[Finding]:
    known = setting.facts.admission.tuning_sections
    for section in content:
        if section not in known:
            listed = ", ".join(f"`{name}`" for name in known)
            text = f"names a file with the section `{section}`, which KAITO does not know"
            yield view.finding("training-section", "tuning.config", text, f"use {listed}")


def _quantization(view: View, section: Mapping) -> Iterator[Finding]:
    for field in BITS:
        if not isinstance(section.get(field), bool | None):
            text = f"names a file whose `QuantizationConfig.{field}` is `{section[field]}`, neither true nor false"
            yield view.finding("training-quantization", "tuning.config", text, "write `true` or `false`")
    chosen = [field for field in BITS if section.get(field) is True]
    method = str(mapping(view.tuning).get("method")).lower()
    if method == "lora" and chosen:
        text = f"names a file that sets `QuantizationConfig.{chosen[0]}`, but method `lora` does not quantize"
        yield view.finding("training-quantization", "tuning.config", text, "use method `qlora`, or leave it out")
    elif method == "qlora" and len(chosen) != 1:
        got = "both" if chosen else "neither"
        text = f"names a file for method `qlora`: exactly one of `{BITS[0]}` and `{BITS[1]}` must be true, here {got}"
        yield view.finding("training-quantization", "tuning.config", text, "set it in `QuantizationConfig`")


def _output_dir(view: View, section: Mapping) -> Iterator[Finding]:
    folder = section.get("output_dir")
    if folder is None:
        return
    resolved = posixpath.normpath(posixpath.join(BASE, str(folder)))
    if not isinstance(folder, str) or not resolved.startswith(f"{BASE}/"):
        text = f"names a file whose `TrainingArguments.output_dir` is `{folder}`, not a folder below `{BASE}`"
        yield view.finding("training-output-dir", "tuning.config", text, f"use `{BASE}/results`, for example")


RULES = (config,)
