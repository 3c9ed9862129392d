"""docker-compose.yml, as it is written. As it works: `test_compose_services.py`."""

import re
from pathlib import Path
from typing import Any

import click
import compose_file
import flower.options  # type: ignore[import-untyped]
import pytest
import yaml
from celery.bin.base import CLIContext
from celery.bin.celery import celery
from compose_file import COMPOSE, ROOT, services, variables
from tornado.options import options as tornado_options
from typer.testing import CliRunner

from ops import cli
from ops.local import profile
from ops.local.profile import Numbers
from runtime import settings
from runtime.settings import Environment, Settings
from workers.app import app

ENGINES = {"postgres", "valkey"}
MONITORING = {"prometheus", "grafana"}
NODES = {"worker", "relay", "beat"}
ONE_SHOT = {"migrate"}
# What a container of ours is given beside its settings: docs/operations.md explains each.
NOT_SETTINGS = {"HEARTBEAT_FILE", "REMAP_SIGTERM", "FLOWER_BASIC_AUTH"}
SECRETS = {
    "BROKER_PASSWORD",
    "BROKER_URL",
    "DATABASE_URL",
    "FLOWER_BASIC_AUTH",
    "GRAFANA_PASSWORD",
    "METRICS_TOKEN",
    "MIGRATION_DATABASE_URL",
    "POSTGRES_PASSWORD",
    "SECRET_KEY",
}


def ours() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services().items() if name not in ENGINES | MONITORING}


OURS = ours()


@pytest.fixture(scope="module")
def environment_file(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The `.env` that the commands of docs/operations.md make."""
    directory = tmp_path_factory.mktemp("deployment")
    made = compose_file.documented_environment(directory)
    assert (directory / ".env").stat().st_mode & 0o077 == 0
    return made


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_has_no_privilege_and_a_read_only_root(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert not service.keys() & {"privileged", "cap_add", "user", "pid", "network_mode", "devices"}


@pytest.mark.parametrize("name", OURS)
def test_a_path_that_a_container_of_ours_is_given_is_one_where_it_may_write(name: str) -> None:
    service = OURS[name]
    writable = [*service["tmpfs"], *(volume.split(":")[1] for volume in service.get("volumes", ()))]
    given = [*service["environment"].values(), *(word.rpartition("=")[2] for word in service["command"])]
    for path in (word for word in given if word.startswith("/")):
        assert any(path.startswith(f"{place}/") for place in writable), path


def test_ours_run_one_image_that_is_built_here_once() -> None:
    assert len({service["image"] for service in OURS.values()}) == 1
    assert [name for name, service in OURS.items() if "build" in service] == ["migrate"]


@pytest.mark.parametrize("name", sorted(services().keys() - ONE_SHOT))
def test_a_service_that_stays_has_a_health_check_and_comes_back(name: str) -> None:
    service = services()[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(MONITORING))
def test_monitoring_is_a_profile_of_its_own_on_the_loopback_with_files_that_are_there(name: str) -> None:
    service = services()[name]
    assert service["profiles"] == ["monitoring"]
    assert not any("profiles" in other for other in OURS.values())
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    mounted = [volume.split(":")[0] for volume in service["volumes"] if volume.startswith(".")]
    assert mounted and all((ROOT / each).exists() for each in mounted)


def test_prometheus_shows_the_token_and_scrapes_the_service_that_asks_for_it() -> None:
    [job] = yaml.safe_load((ROOT / "ops/monitoring/prometheus.yml").read_text())["scrape_configs"]
    assert job["authorization"] == {"credentials_file": "/run/secrets/metrics"}
    assert services()["prometheus"]["secrets"] == ["metrics"]
    assert yaml.safe_load(COMPOSE.read_text())["secrets"] == {"metrics": {"environment": "METRICS_TOKEN"}}
    [[where]] = [each["names"] for each in job["dns_sd_configs"]]
    assert "METRICS_TOKEN" in OURS[where]["environment"]
    assert OURS[where]["command"][-1] == str(job["dns_sd_configs"][0]["port"])


def test_migrations_run_once_and_everything_of_ours_waits_for_them() -> None:
    assert OURS["migrate"]["restart"] == "no"
    for name in OURS.keys() - ONE_SHOT:
        assert OURS[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully", name
        assert OURS[name]["depends_on"]["postgres"]["condition"] == "service_healthy", name


def test_accepting_orders_and_keeping_time_do_not_wait_for_the_broker() -> None:
    waiting = {name for name, service in OURS.items() if "valkey" in service["depends_on"]}
    assert waiting == {"worker", "relay", "flower"}


@pytest.mark.parametrize("name", ["relay", "beat"])
def test_a_leader_has_a_standby(name: str) -> None:
    assert OURS[name]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", sorted(services()))
def test_no_secret_is_written_down(name: str) -> None:
    for key, value in services()[name]["environment"].items():
        if key in SECRETS:
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), key
    assert not re.search(r"(?i)(password|secret|token)\s*[:=]\s*['\"]?[a-z0-9]{6,}", COMPOSE.read_text())


def test_a_secret_must_be_given() -> None:
    assert {name for name, operator in variables().items() if operator == "?"} == SECRETS


@pytest.mark.parametrize("name", OURS)
def test_what_a_container_is_given_is_a_setting_or_one_of_few_exceptions(name: str) -> None:
    given = set(OURS[name]["environment"])
    assert {key for key in given if key.lower() not in Settings.model_fields} <= NOT_SETTINGS
    assert OURS[name]["environment"]["ENVIRONMENT"] == Environment.PRODUCTION


def test_the_exceptions_are_read_by_somebody() -> None:
    assert 'environ.get("HEARTBEAT_FILE")' in (ROOT / "runtime/heartbeat.py").read_text()
    assert "basic_auth" in tornado_options
    assert {name for name in NODES if OURS[name]["environment"].get("REMAP_SIGTERM") == "SIGQUIT"} == NODES


def test_the_documented_environment_file_is_complete_and_acceptable_in_production(
    environment_file: dict[str, str],
) -> None:
    assert environment_file.keys() >= SECRETS
    given = {name: environment_file[name] for name in ("DATABASE_URL", "BROKER_URL", "SECRET_KEY", "METRICS_TOKEN")}
    [private] = {service["environment"]["PRIVATE_HOSTS"] for service in OURS.values()}
    read = settings.read({**given, "ENVIRONMENT": "production", "PRIVATE_HOSTS": private})
    assert environment_file["SERVICES_PASSWORD"] in read.sqlalchemy_url
    assert environment_file["POSTGRES_PASSWORD"] in environment_file["MIGRATION_DATABASE_URL"]
    assert environment_file["BROKER_PASSWORD"] in environment_file["BROKER_URL"]


def _host(url: str) -> str:
    return url.rpartition("@")[2].partition(":")[0]


def test_the_documented_addresses_are_services(environment_file: dict[str, str]) -> None:
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "BROKER_URL"):
        assert _host(environment_file[name]) in ENGINES


def _celery(arguments: list[str]) -> click.Context:
    """What `celery -A workers.app ARGUMENTS` makes of its command line, as it would itself."""
    outer = click.Context(celery, obj=CLIContext(app=app, no_color=True, workdir=None))
    name, command, rest = celery.resolve_command(outer, arguments)
    assert command is not None
    context: click.Context = command.make_context(name, rest, parent=outer)
    return context


def _orders(arguments: list[str]) -> int:
    """The exit code of `orders ARGUMENTS --help`: not 0 where it knows no such command or option."""
    return CliRunner().invoke(cli.app, [*arguments, "--help"]).exit_code


@pytest.mark.parametrize("name", ["api", "migrate"])
def test_our_program_takes_the_command(name: str) -> None:
    program, *arguments = OURS[name]["command"]
    assert program == "orders"
    assert _orders(arguments) == 0


@pytest.mark.parametrize("name", sorted(NODES))
def test_celery_takes_the_command(name: str) -> None:
    program, option, application, *arguments = OURS[name]["command"]
    assert (program, option, application) == ("celery", "-A", "workers.app")
    context = _celery(arguments)
    assert not context.args
    if name != "beat":
        assert context.params["task_events"] is True
        assert set(context.params["queues"]) == ({"relay"} if name == "relay" else {"orders", "rollups"})


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        _celery(["worker", "--without-gossips"])
    assert _orders(["serve", "--hosts", "x"]) == 2
    assert _orders(["served"]) == 2


def test_flower_takes_the_options_and_lets_nobody_act() -> None:
    given = dict(argument.removeprefix("--").split("=") for argument in OURS["flower"]["command"][4:])
    assert flower.options.options is tornado_options
    assert given.keys() <= {name.replace("-", "_") for name in tornado_options}
    assert given["read_only"] == given["persistent"] == "True"
    assert all(port.startswith("127.0.0.1:") for port in OURS["flower"]["ports"])


def test_every_queue_that_work_goes_to_is_consumed() -> None:
    routed = {app.amqp.router.route({}, kind)["queue"].name for kind in app.tasks if not kind.startswith("celery.")}
    assert routed <= set(_celery(OURS["worker"]["command"][3:]).params["queues"])


def test_the_commands_are_those_of_the_local_system(tmp_path: Path) -> None:
    local = profile.profile(
        tmp_path, 8000, Numbers(), {"DATABASE_URL": "postgresql://db", "BROKER_URL": "redis://broker"}
    )
    for name in ("relay", "beat"):
        [process] = profile.processes(local)[name]
        assert list(process.argv)[3:] == OURS[name]["command"][1:]
