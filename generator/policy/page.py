"""`policies/README.md`, written from the policies themselves and counted from their examples."""

from collections.abc import Iterator
from pathlib import Path

from generator.policy.source import FOLDER, Policy, read_policies

NOTE = "<!-- Written by `kaitops schemas` from the policies beside it; edit those. -->"
HEAD = """\
# Policies

Each file is a ValidatingAdmissionPolicy and its binding: the API server judges by it, without a webhook that could be
down. `kaitops validate` judges every rendered object by the same files before the merge. A cluster's entry says what
breaking one leads to (`spec.policies: Warn` or `Deny`) and holds the limits; `kaitops render` writes them to the
ConfigMap `kaitops-policies`, which the expressions read as `params`. So the files are the same for every cluster.

What an expression cannot evaluate it refuses (`failurePolicy: Fail`). An object that is being deleted always goes
on. KAITO's and Kubernetes' own controllers are let through where they make what was judged before: who asks decides,
never a label.

"""
TAIL = """
## Writing one

- `examples/<policy>/` holds `accepted-*.yaml` and `refused-*.yaml`: objects that the policy must let in, and that it
  and no other must refuse. Each demand needs an example that breaks it. `examples/parameters.yaml` is what they are
  measured with; a second document in a file is the object after an update; `# as: USER` says who asks, `# also: POLICY`
  which other policies the same mistake breaks.
- `make test` asks a real API server about every example and every rendered object, and wants the same words.
- In process we know CEL's own functions and macros, strings, optionals, and of Kubernetes' library `quantity`,
  `isQuantity` and `isGreaterThan`. A policy with anything else is reported as not evaluated, never passed.
- `kaitops.dev/catalog-fields` names the fields of a catalog entry at which a finding shall stand, best first, and
  `kaitops.dev/cluster-fields` those of the cluster's entry that set its limits.
- Write `orValue(dyn('0'))` where the value may be a number as well as text: an API server takes the type of the default
  for that of the value.
"""


def policy_page(root: Path) -> str:
    """The text of `policies/README.md`; empty where there are no policies."""
    policies = read_policies(root).policies
    if not policies:
        return ""
    lines = [
        "| policy | it demands that | judges | limits from the cluster's entry | examples |",
        "|---|---|---|---|---|",
    ]
    lines += [_row(root, policy) for policy in policies]
    lines += ["", "## Why, and what each says"]
    for policy in policies:
        lines += ["", *_section(policy)]
    table, _, rest = HEAD.partition("\n\n")
    return f"{table}\n{NOTE}\n\n{rest}" + "\n".join(lines) + "\n" + TAIL


def _row(root: Path, policy: Policy) -> str:
    fields = ", ".join(f"`{each}`" for each in policy.cluster_fields)
    judged = ", ".join(dict.fromkeys(name for rule in policy.rules for name in rule.resources))
    examples = " and ".join(
        f"{len(list((root / FOLDER / 'examples' / policy.name).glob(f'{kind}-*.yaml')))} {kind}"
        for kind in ("accepted", "refused")
    )
    link = f"[{policy.name}]({policy.name}.yaml)"
    return f"| {link} | {policy.description} | {judged} | {fields} | [{examples}](examples/{policy.name}) |"


def _section(policy: Policy) -> Iterator[str]:
    yield f"### {policy.name}"
    yield ""
    yield policy.comment
    yield ""
    yield from (f"- {demand.message}" for demand in policy.demands)
