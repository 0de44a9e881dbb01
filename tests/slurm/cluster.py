"""A small real SLURM on this machine: several nodes, one address, one folder, for tests.

``python tests/slurm/cluster.py start --folder F --nodes 3`` starts it and says what to set in a shell;
``status`` and ``stop`` take the same folder. Debian's packages are installed where they are missing.
Everything that it writes stands in its folder; a SLURM that runs already is neither seen nor touched.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "srun", "sbatch", "squeue", "scancel", "scontrol", "munged")
SYSTEM_PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where Debian puts the daemons, which a user's PATH may lack."""

NO_SERVICES = Path("/usr/sbin/policy-rc.d")
"""Debian asks it before a package starts its service; exit code 101 says no."""

MARK = "STUDY_TEST_SLURM"
"""The daemons carry it in their environment: ``<folder>`` or, on a node, ``<folder>/<node>``."""

CONFIGURATION = """\
ClusterName=study
SlurmctldHost={host}({address})
SlurmctldPort={port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# a job that is requeued waits for twice as long: 5 is the least
AuthInfo=cred_expire=5,socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=15
KillWait=5
MinJobAge=300
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=60 PriorityTier=2 PreemptMode=OFF
PartitionName=spare Nodes=ALL MaxTime=60 PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
"""

SACCT = """\
#!/bin/sh
# Stands in for sacct, which needs a database: what `sacct -o JobID,State,NodeList --parsable2 -j 1 -j 2`
# would answer, as squeue knows it. A stranger option is refused rather than answered wrongly.
jobs=
while [ $# -gt 0 ]; do
    case "$1" in
        -o) [ "$2" = JobID,State,NodeList ] || { echo "sacct: only -o JobID,State,NodeList" >&2; exit 2; }
            shift 2 ;;
        --parsable2) shift ;;
        -j) jobs="$jobs $2 "; shift 2 ;;
        *) echo "sacct: $1 is not known to this stand-in" >&2; exit 2 ;;
    esac
done
found=$(squeue --noheader --array --states=all --format='%i|%T|%N') || exit 1
echo 'JobID|State|NodeList'
printf '%s\\n' "$found" | while IFS='|' read -r job state nodes; do
    case "$jobs" in *" ${job%%_*} "*) printf '%s|%s|%s\\n' "$job" "$state" "$nodes" ;; esac
done
"""


class UnavailableError(Exception):
    """There can be no cluster on this machine; the message is the reason, in one sentence."""


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [program for program in PROGRAMS if find(program) is None]


def find(program: str) -> str | None:
    """Return where a program is, also where only root's PATH would show it."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_PATH]))


def check() -> None:
    """Raise `UnavailableError` where there can be no cluster, and change nothing."""
    if sys.platform != "linux":
        raise UnavailableError("SLURM runs on Linux only.")
    if os.geteuid() != 0:
        raise UnavailableError("Only root can start the nodes of a SLURM cluster.")
    if missing() and shutil.which("apt-get") is None:
        raise UnavailableError(
            f"SLURM is missing here ({', '.join(missing())}), and so is apt-get to install it."
        )
    own_address()


def own_address() -> str:
    """Return the one address that the cluster listens on: what this machine's name resolves to.

    SLURM binds to that if it is told not to bind to all. It is a loopback address as a rule.
    """
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError as error:
        raise UnavailableError(
            "The name of this machine resolves to no address, which SLURM needs."
        ) from error


def install() -> None:
    """Install Debian's packages if something is missing, without starting their services."""
    check()
    if not missing():
        return
    guard = not NO_SERVICES.exists()
    if guard:
        NO_SERVICES.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
        NO_SERVICES.chmod(0o755)
    try:
        wait = "-oDPkg::Lock::Timeout=300"  # another test process may install them just now
        _apt_get("update", "-q", wait)
        _apt_get("install", "-q", "-y", "--no-install-recommends", wait, *PACKAGES)
    finally:
        if guard:
            NO_SERVICES.unlink()
    if missing():
        raise UnavailableError(f"Debian's packages came without {', '.join(missing())}.")


def _apt_get(*words: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            ["apt-get", *words], env=environment, capture_output=True, text=True, timeout=600
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"`apt-get {words[0]}` took more than ten minutes.") from error
    if done.returncode != 0:
        last = " ".join(done.stderr.split())[-300:]
        raise UnavailableError(f"`apt-get {words[0]}` failed: {last}")


@dataclass(frozen=True)
class Job:
    """A job, or one element of an array, as squeue shows it."""

    id: str
    state: str
    node: str
    reason: str
    restarts: int


class Cluster:
    """A cluster that has been started in a folder, or will be.

    Args:
        folder: everything that the cluster writes stands in it; short, since sockets do, too.
        nodes: how many nodes; they are called n1, n2, …
        cpus: CPUs that each node claims to have, whatever this machine has.
        gpus: GPUs that each node claims to have; there are none.
    """

    def __init__(self, folder: Path | str, nodes: int = 3, cpus: int = 2, gpus: int = 1) -> None:
        self.folder = Path(folder).absolute()
        self.names = [f"n{number}" for number in range(1, nodes + 1)]
        self.cpus = cpus
        self.gpus = gpus

    @classmethod
    def opened(cls, folder: Path | str) -> Cluster:
        """Return the cluster that was once started in this folder."""
        file = Path(folder) / "cluster.json"
        if not file.exists():
            raise UnavailableError(f"No cluster was ever started in {folder}.")
        return cls(folder, **json.loads(file.read_text(encoding="utf-8")))

    @property
    def configuration(self) -> Path:
        """Return the file that `SLURM_CONF` names."""
        return self.folder / "slurm.conf"

    @property
    def env(self) -> dict[str, str]:
        """Return the environment for programs that shall use this cluster, and no other one."""
        of_slurm = re.compile(r"(SLURM|SBATCH|SRUN|SALLOC|SQUEUE|SCANCEL|SINFO|SUBMITIT)_?.*")
        kept = {key: value for key, value in os.environ.items() if not of_slurm.fullmatch(key)}
        kept.pop(MARK, None)
        before = [str(self.folder / "bin"), str(Path(sys.executable).parent)]
        path = [*before, *os.environ.get("PATH", "").split(os.pathsep), *SYSTEM_PATH]
        return {
            **kept,
            "SLURM_CONF": str(self.configuration),
            "PATH": os.pathsep.join(dict.fromkeys(path)),
        }

    def run(
        self, words: Sequence[str], timeout: float = 120, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program that uses this cluster, and raise with what it said where it fails."""
        done = subprocess.run(
            list(words), env=self.env, capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode != 0:
            said = f"{done.stdout}\n{done.stderr}".strip()
            raise RuntimeError(f"`{shlex.join(words)}` ended with {done.returncode}: {said}")
        return done

    # --- start and stop ---

    def start(self, seconds: float = 60) -> None:
        """Start munged, slurmctld and a slurmd for each node; return when all nodes run jobs."""
        install()
        if self.processes():
            raise UnavailableError(f"A cluster runs in {self.folder} already.")
        self._write()
        try:
            socket_file, key = self.folder / "munge.socket", self.folder / "munge.key"
            self._daemon(
                *("munged", "--force", f"--socket={socket_file}", f"--key-file={key}"),
                f"--pid-file={self.folder / 'munged.pid'}",
                f"--log-file={self.folder / 'log' / 'munged.log'}",
                f"--seed-file={self.folder / 'state' / 'munged.seed'}",
            )
            self.wait_until(socket_file.exists, "munged listens", 20)
            self._daemon("slurmctld")
            for name in self.names:
                self._start_node(name)
            self.wait_ready(seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process of the cluster and of its jobs; what it wrote stays."""
        for name in self.names:
            self._kill_all_of(name)
        _end([process.pid for process in self.processes() if process.name == "slurmctld"])
        _end([process.pid for process in self.processes() if process.name == "munged"])
        _kill(self.processes)

    def wait_ready(self, seconds: float = 60) -> None:
        """Wait until a step runs on all nodes at once: sinfo would show what was true before."""
        count = str(len(self.names))
        end = time.monotonic() + seconds
        while True:
            left = max(1.0, end - time.monotonic())
            with suppress(subprocess.TimeoutExpired):
                words = ["srun", f"-N{count}", f"-n{count}", "--immediate=5", "true"]
                done = self.run(words, timeout=left, check=False)
                if done.returncode == 0:
                    return
            if time.monotonic() > end:
                raise RuntimeError(f"The nodes do not become ready.\n{self.state()}")
            time.sleep(0.2)

    def _write(self) -> None:
        if len(str(self.folder / "spool" / self.names[-1])) > 80:
            raise UnavailableError(f"{self.folder} is too long a path for SLURM's sockets.")
        for name in ("state", "spool", "log", "bin", "gpu"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        address = own_address()
        host = socket.gethostname().split(".")[0]
        controller, *ports = free_ports(address, 1 + len(self.names))
        nodes = [
            f"NodeName={name} NodeHostname={host} NodeAddr={address} Port={port} CPUs={self.cpus}"
            f" RealMemory=4000 Gres=gpu:{self.gpus} State=UNKNOWN"
            for name, port in zip(self.names, ports, strict=True)
        ]
        self.configuration.write_text(
            CONFIGURATION.format(
                host=host,
                address=address,
                port=controller,
                folder=self.folder,
                nodes="\n".join(nodes),
            ),
            encoding="utf-8",
        )
        gpus = [self.folder / "gpu" / f"gpu{number}" for number in range(self.gpus)]
        for gpu in gpus:  # SLURM leaves GPUs out that have no file, of whatever kind
            gpu.touch()
        gres = [f"NodeName={','.join(self.names)} Name=gpu File={gpu}\n" for gpu in gpus]
        (self.folder / "gres.conf").write_text("".join(gres), encoding="utf-8")
        key = self.folder / "munge.key"
        key.unlink(missing_ok=True)
        with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(128))
        sacct = self.folder / "bin" / "sacct"
        sacct.write_text(SACCT, encoding="utf-8")
        sacct.chmod(0o755)
        described = {"nodes": len(self.names), "cpus": self.cpus, "gpus": self.gpus}
        (self.folder / "cluster.json").write_text(json.dumps(described), encoding="utf-8")

    def _daemon(self, *words: str, node: str | None = None) -> None:
        """Start a daemon, which leaves this process by itself, with the mark in its environment."""
        mark = self.folder / node if node else self.folder
        with (self.folder / "log" / f"{node or words[0]}.start").open("w") as log:
            done = subprocess.run(
                words,
                env={**self.env, MARK: str(mark)},
                cwd=self.folder / "log",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=60,
            )
        if done.returncode != 0:
            said = Path(log.name).read_text(encoding="utf-8").strip()
            raise RuntimeError(f"{words[0]} does not start: {said}")

    # --- what runs ---

    def processes(self, node: str | None = None) -> list[Process]:
        """Return the processes of the cluster, or of one node: daemons and all that jobs started."""
        found = processes()
        conf, mark = f"SLURM_CONF={self.configuration}", f"{MARK}={self.folder}"
        wanted = set()
        for process in found:
            marked = [word for word in process.environment if word.startswith(f"{MARK}=")]
            at = [word for word in process.environment if word.startswith("SLURMD_NODENAME=")]
            if node is None:
                daemon = any(word == mark or word.startswith(f"{mark}/") for word in marked)
                task = bool(at)
            else:
                daemon = f"{mark}/{node}" in marked
                task = f"SLURMD_NODENAME={node}" in at
            if daemon or (task and conf in process.environment):
                wanted.add(process.pid)
        before = -1
        while before < len(wanted):  # what they started, also where it has another environment
            before = len(wanted)
            wanted |= {process.pid for process in found if process.parent in wanted}
        return [process for process in found if process.pid in wanted]

    def jobs(self) -> list[Job]:
        """Return all jobs that the cluster remembers, finished ones, too; arrays by element."""
        fields = ("JobArrayID", "State", "NodeList", "Reason", "RestartCnt")
        wanted = ",".join(f"{field}:|" for field in fields)
        said = self.run(["squeue", "--noheader", "--array", "--states=all", "--Format", wanted])
        rows = [line.split("|")[: len(fields)] for line in said.stdout.splitlines()]
        return [Job(job, state, node, reason, int(n)) for job, state, node, reason, n in rows]

    def job(self, job: str) -> Job:
        """Return one job, or one element of an array: ``"7"``, ``"7_2"``."""
        for found in self.jobs():
            if found.id == job:
                return found
        raise KeyError(f"The cluster knows no job {job}.\n{self.state()}")

    def nodes(self) -> dict[str, str]:
        """Return the state of each node: ``idle``, ``mixed``, ``down*``, ``drained``, …"""
        said = self.run(["sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %T"])
        return dict(line.split() for line in said.stdout.splitlines())

    def state(self) -> str:
        """Return what somebody wants to read when something went wrong."""
        parts = []
        for words in (["sinfo", "--Node", "--long"], ["squeue", "--array", "--states=all"]):
            with suppress(subprocess.TimeoutExpired):
                done = self.run(words, timeout=20, check=False)
                parts.append(f"$ {shlex.join(words)}\n{done.stdout}{done.stderr}")
        for file in sorted((self.folder / "log").glob("*.log")):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            parts.append("\n".join([file.name, *lines[-8:]]))
        return "\n".join(parts)

    # --- what happens to jobs and nodes ---

    def cancel(self, *jobs: str) -> None:
        """Cancel jobs, or all of them if none is named."""
        self.run(["scancel", *(jobs or [f"--user={os.geteuid()}"])])

    def signal(self, job: str, name: str = "USR2", to: str = "steps") -> None:
        """Send a running job a signal, as SLURM does before a time limit.

        Args:
            job: its id.
            name: of the signal, without SIG.
            to: ``"steps"``, what srun started, as `--signal=USR2@90` does it; ``"batch"``, the batch
                shell alone, as `--signal=B:USR2@90` does it; ``"all"``, all processes of both.
        """
        where = {"steps": [], "batch": ["--batch"], "all": ["--full"]}[to]
        self.run(["scancel", f"--signal={name}", *where, job])

    def requeue(self, job: str) -> None:
        """Have SLURM end a job and start it again, some 12 s later."""
        self.run(["scontrol", "requeue", job])

    def kill_node(self, name: str, noticed: bool = False) -> None:
        """Kill a node: its slurmd and everything that runs on it, without a word to anyone.

        Args:
            name: of the node.
            noticed: tell the controller at once, which else finds out after 15 s and more.
        """
        self._kill_all_of(name)
        if noticed:
            self.run(
                ["scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=killed by a test"]
            )

    def kill_daemon(self, name: str) -> None:
        """Kill a node's slurmd alone: its jobs live on, and the controller thinks them lost."""
        _kill(lambda: [found for found in self.processes(name) if found.name == "slurmd"])

    def start_node(self, name: str, seconds: float = 60) -> None:
        """Start a node that was killed, and wait until jobs can run on it."""
        if not any(found.name == "slurmd" for found in self.processes(name)):
            self._start_node(name)
        self.resume(name)
        self.wait_until(
            lambda: self.nodes()[name] in ("idle", "mixed", "allocated", "completing"),
            f"node {name} is back",
            seconds,
        )

    def drain(self, name: str) -> None:
        """Let a node finish what it runs, and take no more."""
        self.run(
            ["scontrol", "update", f"NodeName={name}", "State=DRAIN", "Reason=drained by a test"]
        )

    def resume(self, name: str) -> None:
        """Give a drained node jobs again; nothing where it is not drained."""
        # it refuses a node that is neither down nor drained
        self.run(["scontrol", "update", f"NodeName={name}", "State=RESUME"], check=False)

    def reset(self) -> None:
        """Cancel all jobs and bring all nodes back: as it was after the start."""
        self.cancel()
        for name in self.names:
            self.start_node(name)
        over = ("CANCELLED", "COMPLETED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED")
        self.wait_until(
            lambda: all(job.state in over for job in self.jobs()), "all jobs have ended", 60
        )

    def wait_until(
        self, condition: Callable[[], object], what: str, seconds: float = 60, every: float = 0.2
    ) -> float:
        """Wait for something and return after how many seconds it was so."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() > began + seconds:
                raise TimeoutError(f"After {seconds:g} s it is not so that {what}.\n{self.state()}")
            time.sleep(every)
        return time.monotonic() - began

    def wait_for(self, job: str, *states: str, seconds: float = 60) -> float:
        """Wait until a job is in one of these states; return after how many seconds it was."""
        what = f"job {job} is {' or '.join(states)}"
        return self.wait_until(lambda: self.job(job).state in states, what, seconds)

    def _start_node(self, name: str) -> None:
        self._daemon("slurmd", "-N", name, node=name)

    def _kill_all_of(self, name: str) -> None:
        _kill(lambda: self.processes(name))


@dataclass(frozen=True)
class Process:
    """A process of this machine."""

    pid: int
    parent: int
    name: str
    environment: frozenset[str]


def processes() -> list[Process]:
    """Return the processes that run; those that have ended and are not yet buried do not."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            # the name stands in brackets and may hold anything, a bracket, too
            name, _, rest = (folder / "stat").read_text(errors="replace").rpartition(")")
            state, parent = rest.split()[:2]
            words = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            if state not in "ZX":
                name = name.partition("(")[2]
                found.append(Process(int(folder.name), int(parent), name, frozenset(words)))
    return found


def _kill(those: Callable[[], Iterable[Process]], seconds: float = 20) -> None:
    """Kill processes until there are none; again and again, since they may start others."""
    end = time.monotonic() + seconds
    while found := list(those()):
        if time.monotonic() > end:
            raise RuntimeError(f"Processes do not end: {[(p.pid, p.name) for p in found]}")
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.05)


def _end(pids: Sequence[int], seconds: float = 15) -> None:
    """Ask processes to end, and wait for some time until they have."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + seconds
    while time.monotonic() < end and {process.pid for process in processes()} & set(pids):
        time.sleep(0.05)


def free_ports(address: str, count: int) -> list[int]:
    """Return ports that nobody listens on, below those that outgoing connections are given."""
    chosen: list[int] = []
    for port in random.SystemRandom().sample(range(17_000, 32_000), 2_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((address, port))
            chosen.append(port)
            if len(chosen) == count:
                return chosen
    raise UnavailableError(f"There are no {count} free ports on {address}.")


def main(words: Sequence[str] | None = None) -> int:
    """Start, stop or show a cluster."""
    parser = argparse.ArgumentParser(description="A small real SLURM on this machine, for tests.")
    parser.add_argument("action", choices=("start", "stop", "status"))
    parser.add_argument("--folder", type=Path, required=True, help="where everything of it stands")
    parser.add_argument("--nodes", type=int, default=3, help="how many, for start (default: 3)")
    parser.add_argument("--cpus", type=int, default=2, help="CPUs each claims (default: 2)")
    given = parser.parse_args(words)
    try:
        if given.action == "start":
            cluster = Cluster(given.folder, given.nodes, given.cpus)
            cluster.start()
            print(f"{given.nodes} nodes are ready. In a shell:")
            print(f"export SLURM_CONF={shlex.quote(str(cluster.configuration))}")
            print(f"export PATH={shlex.quote(str(cluster.folder / 'bin'))}:$PATH")
            return 0
        cluster = Cluster.opened(given.folder)
        if given.action == "stop":
            cluster.stop()
            print("No process of the cluster is left.")
            return 0
        running = cluster.processes()
        if not running:
            print("Nothing of it runs.")
            return 1
        for process in running:
            print(process.pid, process.name)
        print(cluster.state())
    except (UnavailableError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
