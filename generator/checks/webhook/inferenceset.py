"""What holds for an InferenceSet alone; the Workspace that it would create is checked as any other."""

from collections.abc import Iterator

from generator.checks.webhook.setting import Setting
from generator.checks.webhook.view import View, mapping
from generator.finding import Finding

CRON_FIELDS = 5


def replicas(view: View, _: Setting) -> Iterator[Finding]:
    number = view.spec.get("replicas", 1)
    if isinstance(number, int) and number < 0:
        yield view.finding("replicas", "spec.replicas", f"is {number}", "use 0 or more")


def template_serves(view: View, _: Setting) -> Iterator[Finding]:
    if view.inference is None:
        text = "is missing, and an InferenceSet does nothing but serve"
        yield view.finding("one-job", view.paths.inference, text, "say which preset or pod template it serves")


def maintenance_window(view: View, _: Setting) -> Iterator[Finding]:
    window = mapping(view.spec.get("autoUpgrade")).get("maintenanceWindow")
    if window is None:
        return
    schedule = mapping(window).get("schedule") or ""
    if len(str(schedule).split()) != CRON_FIELDS:
        field = "spec.autoUpgrade.maintenanceWindow.schedule"
        text = f"is `{schedule}`, not a cron line of {CRON_FIELDS} fields"
        yield view.finding(
            "maintenance-window", field, text, "write `0 3 * * 6` for Saturdays at 03:00 UTC, for example"
        )


RULES = (replicas, template_serves, maintenance_window)
