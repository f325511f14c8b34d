"""Is every setting read from a flag and a variable, and is everything that is wrong said at one start?"""

import logging
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.__main__ import main
from reconciler.settings import Settings, SettingsError, read_settings

RESERVATION = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/capacityReservationGroups/c"
AZURE = ["--subscription-id=s", "--resource-group=r", "--cluster-name=c", "--location=eastus"]


@pytest.fixture
def own_logging() -> Iterator[None]:
    """`main` takes over the process's logging, and a handler of a closed stream complains at each line."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def wrong(arguments: list[str], environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_settings(arguments, environment or {})
    return list(caught.value.problems)


def test_defaults_are_legal() -> None:
    found = read_settings(AZURE, {})
    assert (found.list_period, found.pool_limit, found.launch_timeout) == (10.0, 100, timedelta(minutes=5))
    assert found.node_class("default").capacity_type == "on-demand"


@pytest.mark.parametrize("name", [each.name for each in fields(Settings) if each.metadata])
def test_each_setting_has_a_flag_and_a_variable(name: str) -> None:
    flag, variable = f"--{name.replace('_', '-')}=odd", f"RECONCILER_{name.upper()}"
    others = [each for each in AZURE if not each.startswith(flag.removesuffix("odd"))]
    by_flag, by_variable = wrong_or_value([*others, flag], {}, name), wrong_or_value(others, {variable: "odd"}, name)
    assert by_flag == by_variable != wrong_or_value(others, {}, name)


def wrong_or_value(arguments: list[str], environment: dict[str, str], name: str) -> str:
    try:
        return str(getattr(read_settings(arguments, environment), name))
    except SettingsError as error:
        return " ".join(error.problems)


def test_a_flag_wins_over_its_variable() -> None:
    assert read_settings([*AZURE, "--workers=3"], {"RECONCILER_WORKERS": "4"}).workers == 3


def test_everything_that_is_wrong_at_once() -> None:
    said = wrong(["--azure=cloud", "--list-period=fast", "--pool-limit=0", "--nonsense", "--zones=4", "--os-sku=BeOS"])
    assert len(said) == 10
    assert "`--azure` is `cloud`: it is one of `arm`, `simulated`" in said
    assert "`--pool-limit` is `0`: it is a whole number from 1 to 1000" in said
    assert "`--nonsense` is no setting: `--help` lists them" in said
    assert any("`--zones` holds `4`" in each for each in said)
    assert "`--location` is missing: `--azure arm` needs it" in said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--pool-limit=3", "--pool-reserve=3"], "must be less than `--pool-limit`"),
        (["--list-period=60s"], "`--idle-period` no shorter"),
        (["--orphan-age=30s"], "a pool that is just being made is no orphan"),
        (["--repair-after=0s"], "to repair none, write `--node-repair false`"),
        (["--sweep-period=0s"], "each search lists every claim"),
        (["--context=x"], "`--context` needs `--kubeconfig`"),
        (["--metrics-port=9", "--health-port=9"], "must differ"),
        (["--tags=team"], "write `name=value,name=value`"),
        (["--tags=kaitops-x=1"], "`kaitops-` is ours"),
        (["--taints=wrong"], "write `key=value:effect`"),
        (["--leader-election=yes"], "it is `true` or `false`"),
        (["--spot-max-price=cheap"], "it is a number"),
        (["--spot-max-price=nan"], "it is -1 or more than 0"),
        (["--spot-max-price=-2"], "it is -1 or more than 0"),
        (["--subnet-id=vnet/subnet"], "it is the resource id of a subnet"),
        (["--capacity-reservation-group-id=x"], "is not the resource id"),
        (["--capacity-type=free"], "`--capacity-type` is `free`"),
    ],
)
def test_what_is_wrong_says_what_is_right(flags: list[str], words: str) -> None:
    (said,) = wrong([*AZURE, *flags])
    assert words in said


def test_a_variable_that_is_no_setting() -> None:
    assert wrong(AZURE, {"RECONCILER_LIST_PERIODE": "10s"}) == ["`RECONCILER_LIST_PERIODE` is no setting"]


def test_node_classes_come_from_a_file_and_inherit_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "classes.yaml"
    file.write_text(
        "zonal: {zones: ['1'], os_disk_type: Ephemeral}\nspot: {capacity_type: spot, spot_max_price: 2.5}\n"
    )
    found = read_settings([*AZURE, f"--node-classes={file}", "--os-sku=AzureLinux3"], {})
    assert found.node_class("zonal").zones == ("1",)
    assert found.node_class("zonal").os_sku == "AzureLinux3"
    assert found.node_class("spot").spot_max_price == 2.5
    assert found.node_class("other") == found.default_class


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {zone: ['1']}", "`zone` is no field"),
        ("a: {zones: '1'}", "`zones` is `1`: it is of the kind list"),
        ("a: {gpu_driver: Sometimes}", "it is one of `Install`, `None`"),
        ("a: {os_disk_gib: -1}", "`os_disk_gib` is `-1`: it is 0 or a number of GiB"),
        (f"a: {{capacity_type: spot, capacity_reservation_group_id: {RESERVATION}}}", "cannot serve spot nodes"),
        ("- a", "holds no mapping of class names"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_file_of_classes_that_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "classes.yaml"
    file.write_text(text)
    (said,) = wrong([*AZURE, f"--node-classes={file}"])
    assert words in said


def test_a_wrong_start_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--azure=cloud"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5 or all(line.startswith("error: ") for line in said)
    assert said[0] == "error: `--azure` is `cloud`: it is one of `arm`, `simulated`"


@pytest.mark.usefixtures("own_logging")
def test_a_missing_kubeconfig_is_no_traceback(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--azure=simulated", f"--kubeconfig={tmp_path / 'none'}"]) == 1
    assert "no way to the API server" in capsys.readouterr().err


def test_orphans_only_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["orphans", "--azure=simulated"]) == 2
    assert "orphans --dry-run" in capsys.readouterr().err
