"""Would KAITO's admission webhook take these objects? Its rules, run offline over what we rendered.

The webhook fails closed and answers only at sync time, when a refusal blocks the whole sync: so its rules run here,
before the merge. Each rule is a function of one object's view and its setting. What needs a cluster (nodes that
match, architectures on the hub, GPU memory for the transformers runtime) is not decided here; what compares with
the object's former state is the plan's.
"""

from collections.abc import Callable, Iterable, Iterator

from generator.checks.webhook import inference, inferenceset, ragengine, resource, training, tuning, workspace
from generator.checks.webhook.setting import Setting, index_config_maps
from generator.checks.webhook.view import View, view_of
from generator.document import Document
from generator.facts import KaitoFacts
from generator.finding import Finding

Rule = Callable[[View, Setting], Iterator[Finding]]

RULES: dict[str, tuple[Rule, ...]] = {
    "Workspace": (*workspace.RULES, *resource.RULES, *inference.RULES, *tuning.RULES, *training.RULES),
    "InferenceSet": (*inferenceset.RULES, *workspace.RULES, *resource.RULES, *inference.RULES),
    "RAGEngine": (*ragengine.RULES, *resource.SHARED_WITH_RAG),
}


def check(documents: Iterable[Document], facts: KaitoFacts, byo: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """Yield what the webhook would refuse; `byo` names the clusters whose GPU nodes KAITO does not provision."""
    rendered = list(documents)
    setting = Setting(facts, index_config_maps(rendered), byo)
    for document in rendered:
        view = view_of(document)
        if view is not None:
            for rule in RULES[view.kind]:
                yield from rule(view, setting)
