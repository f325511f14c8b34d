"""Whether the files held the model that the configuration describes.

transformers begins at random what they lack or have in another size, and goes on: the model then answers nonsense.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from inference.errors import CANNOT_HEAL, StartError, listed

log = logging.getLogger(__name__)


def check(source: str, report: Mapping[str, Any]) -> None:
    """Refuse a model by transformers' report of its loading; what the files hold beyond it is only said."""
    wrong = [f"`{name}` is missing" for name in sorted(report["missing_keys"])]
    wrong += [
        f"`{name}` is {_size(own)} and not {_size(wanted)}" for name, own, wanted in sorted(report["mismatched_keys"])
    ]
    if wrong:
        raise StartError(
            f"the weights of `{source}` are not those of its configuration: {listed(wrong)}",
            "copy the whole model; weights and `config.json` belong together",
            CANNOT_HEAL,
        )
    unused = [f"`{name}`" for name in sorted(report["unexpected_keys"])]
    if unused:
        log.warning("the weights of `%s` hold more than its configuration has a place for: %s", source, listed(unused))


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
