"""The same bytes on a Dask cluster and with MPI; errors of clusters in one line."""

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from support.stores import make_store

from simbg.axes import Axes
from simbg.cli.main import main
from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection
from simbg.parallel.executors import workers
from simbg.truth.gaussian import GaussianTruth

# mpiexec starts processes as root, and more than there are cores, only if it is told to.
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
BINS = ("--exclude", "none", "--method", "histogram", "--energy", "0.2:50:4", "--fov", "3:8")


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with one group of more than 64 runs, and its experiment."""
    folder = tmp_path_factory.mktemp("clusters") / "store"
    changes = {"truth": GaussianTruth(event_rate=0.05)}
    places = {"alt_range": (75, 80), "az_range": (100, 120)}
    return folder, make_store(folder, n_obs=70, **changes, **places)


@pytest.fixture(scope="module")
def store(made):
    return made[0]


@pytest.fixture(scope="module")
def expected(store):
    """The models of one process."""
    with pytest.raises(SystemExit):
        main(["reconstruct", str(store), str(store.with_name("alone")), *BINS, "--jobs", "1"])
    return content(store.with_name("alone"))


@pytest.mark.parametrize("jobs", [2, 8])
def test_same_bytes_with_any_number_of_processes(store, expected, run, tmp_path, jobs):
    code, _, err = run("reconstruct", store, tmp_path / "models", *BINS, "--jobs", jobs)
    assert (code, err) == (0, "")
    assert content(tmp_path / "models") == expected


def _die_once(folder, number):
    """Ends the process with the first number 5."""
    if number == 5 and not os.listdir(folder):
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_same_bytes_with_dask_also_after_the_death_of_a_worker(made, expected, tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "deaths").mkdir()
    store, experiment = made
    with workers(2, cluster="dask") as executor:
        found = list(executor.map(partial(_die_once, tmp_path / "deaths"), range(9)))
        assert found == [n**2 for n in range(9)]
        assert (tmp_path / "deaths" / "died").exists()
        axes = Axes.regular(energy=(0.2, 50, 4), fov=(3, 8))
        arguments = {"method": "histogram", "axes": axes, "executor": executor}
        selection = Selection(exclude=("none",))
        reconstruct_store(store, tmp_path / "models", selection=selection, **arguments)
        experiment.write(tmp_path / "store", executor=executor)
    assert content(tmp_path / "store") == content(store)
    assert content(tmp_path / "models") == expected


def mpiexec(*words, ranks=2):
    """Run a command with MPI; the test is skipped, visibly, where this is not possible."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpiexec")
    program = str(beside) if beside.exists() else shutil.which("mpiexec")
    if program is None:
        pytest.skip("there is no mpiexec")
    words = [program, "-n", str(ranks), sys.executable, "-m", "simbg", *map(str, words)]
    return subprocess.run(words, env=os.environ | MPI, capture_output=True, text=True, timeout=60)


def test_same_bytes_with_mpi(store, expected, tmp_path):
    done = mpiexec("reconstruct", store, tmp_path / "models", *BINS, "--cluster", "mpi")
    assert (done.returncode, done.stderr) == (0, "")
    assert content(tmp_path / "models") == expected


def test_an_error_with_mpi_is_one_line(store, tmp_path):
    words = ("reconstruct", store, tmp_path / "models", "--method", "nothing", "--cluster", "mpi")
    done = mpiexec(*words)
    lines = [line for line in done.stderr.splitlines() if line.startswith("simbg")]
    assert len(lines) == 1
    assert "nothing" in lines[0]
    assert done.returncode == 2
    assert not (tmp_path / "models").exists()


def test_without_mpiexec_mpi_has_one_process(store, run, tmp_path):
    code, out, err = run("reconstruct", store, tmp_path / "models", "--cluster", "mpi")
    assert (code, out) == (2, "")
    assert "mpi" in err
    assert len(err.splitlines()) == 1


@pytest.fixture
def scheduler():
    """A Dask scheduler in this process, with a worker with some threads."""
    distributed = pytest.importorskip("distributed")

    def start(n_threads=1, n_workers=1):
        return distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=n_threads,
            processes=False,
            protocol="tcp://",
            dashboard_address="127.0.0.1:0",
        )

    return start


def test_a_scheduler_works_and_its_errors_are_those_of_one_machine(scheduler):
    with scheduler() as cluster, workers(cluster=cluster.scheduler_address) as executor:
        assert list(executor.map(pow, range(9), [2] * 9)) == [n**2 for n in range(9)]
        with pytest.raises(ValueError, match="invalid literal"):
            list(executor.map(int, ["1", "x"]))


def test_workers_with_several_threads_are_refused(scheduler):
    with (
        scheduler(n_threads=2) as cluster,
        pytest.raises(ValueError, match=r"got 2 threads .* expected 1"),
        workers(cluster=cluster.scheduler_address),
    ):
        pass


def test_other_versions_are_refused(scheduler, tmp_path):
    """A worker in which another simbg is installed, on the path before this one."""
    info = tmp_path / "simbg-99.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: simbg\nVersion: 99.0\n")
    with scheduler(n_workers=0) as cluster:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
        env = os.environ | {"PYTHONPATH": str(tmp_path)}
        worker = subprocess.Popen([*command, *options], env=env, stderr=subprocess.DEVNULL)
        try:
            cluster.wait_for_workers(1, timeout=30)
            with (
                pytest.raises(Exception, match=r"worker tcp.* got simbg 99\.0, expected 0\."),
                workers(cluster=cluster.scheduler_address),
            ):
                pass
        finally:
            worker.kill()
            worker.wait()


@pytest.mark.parametrize(
    "where", ["tcp://127.0.0.1:1", "tls://127.0.0.1:1", "tcp://there:port", "ftp://there", "tcp://"]
)
def test_a_scheduler_that_is_not_there(where, store, run, tmp_path, monkeypatch):
    if where.startswith(("tcp", "tls")):
        pytest.importorskip("distributed")
    monkeypatch.setattr("simbg.parallel.clusters.PATIENCE", 0.3)
    code, out, err = run("reconstruct", store, tmp_path / "models", "--cluster", where)
    assert (code, out) == (2, "")
    assert where in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "models").exists()


def test_a_missing_extra_is_named(store, run, tmp_path, monkeypatch):
    for name in ("dask", "distributed", "mpi4py", "mpi4py.MPI"):
        monkeypatch.setitem(sys.modules, name, None)
    for extra in ("dask", "mpi"):
        code, _, err = run("reconstruct", store, tmp_path / "models", "--cluster", extra)
        assert code == 2
        assert f"'.[{extra}]'" in err
        assert len(err.splitlines()) == 1


def test_processes_of_a_cluster_have_no_number(store, run, tmp_path):
    words = ("--cluster", "tcp://127.0.0.1:1", "--jobs", "3")
    code, _, err = run("reconstruct", store, tmp_path / "models", *words)
    assert code == 2
    assert "--jobs" in err


def test_without_a_cluster_its_packages_are_not_imported():
    program = "import sys, simbg.cli.main, simbg.models.pipeline, simbg.parallel.executors; "
    program += "print([name for name in ('dask', 'distributed', 'mpi4py') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
