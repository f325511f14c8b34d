"""Would KAITO take this RAGEngine: one embedding, a service to ask, and a machine to run on?"""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from generator.checks.webhook.setting import Setting
from generator.checks.webhook.view import Mapping, View, mapping
from generator.checks.webhook.workspace import name
from generator.finding import Finding

FULL_IMAGE = re.compile(r"(.+/[^:/]+):([^:/]+)")


def embedding(view: View, _: Setting) -> Iterator[Finding]:
    part = mapping(view.spec.get("embedding"))
    present = [field for field in ("local", "remote") if part.get(field) is not None]
    if len(present) != 1:
        text = f"needs exactly one of `local` and `remote`, but has {'both' if present else 'none'}"
        yield view.finding("embedding", "spec.embedding", text, "say which model embeds the documents")


def local_embedding(view: View, _: Setting) -> Iterator[Finding]:
    local = mapping(view.spec.get("embedding")).get("local")
    if local is None:
        return
    part = mapping(local)
    present = [field for field in ("image", "modelID") if part.get(field)]
    if len(present) != 1:
        text = f"needs exactly one of `image` and `modelID`, but has {'both' if present else 'none'}"
        yield view.finding("embedding", "spec.embedding.local", text, "name the model, or the image that holds it")
    elif present == ["image"] and not _is_full_image(str(part["image"])):
        text = f"is `{part['image']}`, not a lower-case image with registry and tag or digest"
        yield view.finding("embedding", "spec.embedding.local.image", text, "write `registry/name@sha256:...`")


def remote_embedding(view: View, _: Setting) -> Iterator[Finding]:
    remote = mapping(view.spec.get("embedding")).get("remote")
    if remote is not None:
        yield from _url(view, "spec.embedding.remote.url", mapping(remote).get("url") or "")


def inference_service(view: View, _: Setting) -> Iterator[Finding]:
    service = view.spec.get("inferenceService")
    if service is None:
        text = "is missing"
        yield view.finding(
            "inference-service", "spec.inferenceService", text, "KAITO wants at least `contextWindowSize`"
        )
        return
    part = mapping(service)
    if part.get("url"):
        yield from _url(view, "spec.inferenceService.url", part["url"])
    yield from _context_window(view, part)


def _context_window(view: View, service: Mapping) -> Iterator[Finding]:
    size = service.get("contextWindowSize")
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        text = f"is `{size}`, not a positive number of tokens" if size is not None else "is missing"
        hint = "write the context of the model behind it"
        yield view.finding("context-window", "spec.inferenceService.contextWindowSize", text, hint)


def _url(view: View, field: str, url: object) -> Iterator[Finding]:
    try:
        complete = bool(urlsplit(str(url)).scheme and urlsplit(str(url)).netloc)
    except ValueError:
        complete = False
    if not complete:
        yield view.finding("url", field, f"is `{url}`, not a URL", "write `http://service.namespace/v1/...`")


def _is_full_image(image: str) -> bool:
    repository = image.rpartition("/")[2].partition(":")[0]
    return FULL_IMAGE.fullmatch(image) is not None and repository == repository.lower()


# KAITO does not check a RAGEngine's name, but gives it to a Service, which cannot bear any other.
RULES = (name, embedding, local_embedding, remote_embedding, inference_service)
