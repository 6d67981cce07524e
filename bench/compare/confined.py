"""Runs one command in a memory cgroup of its own and samples what it reads and holds.

Version 1 and 2 of cgroups; root is needed for either. The limit counts what the kernel counts: anonymous
memory, the page cache that the command brought in, and kernel memory.
"""
import dataclasses
import errno
import os
import pathlib
import selectors
import subprocess
import tempfile
import time

SAMPLE_SECONDS = 0.05
V1 = pathlib.Path("/sys/fs/cgroup/memory")
V2 = pathlib.Path("/sys/fs/cgroup")


class MemoryCgroup:
    def __init__(self, limit_bytes):
        name = f"sluice-compare-{os.getpid()}"
        self.v1 = (V1 / "memory.limit_in_bytes").exists()
        if self.v1:
            self.dir = V1 / name
        elif "memory" in read_words(V2 / "cgroup.controllers"):
            if "memory" not in read_words(V2 / "cgroup.subtree_control"):
                (V2 / "cgroup.subtree_control").write_text("+memory")
            self.dir = V2 / name
        else:
            raise RuntimeError("no memory controller under /sys/fs/cgroup; mount cgroups v1 (memory) or v2")
        self.dir.mkdir(exist_ok=True)
        self.set("memory.limit_in_bytes" if self.v1 else "memory.max", limit_bytes)
        # What went to swap would not count. memsw is absent where the kernel does not account for swap.
        swap = "memory.memsw.limit_in_bytes" if self.v1 else "memory.swap.max"
        try:
            self.set(swap, limit_bytes if self.v1 else 0)
        except OSError:
            if len(pathlib.Path("/proc/swaps").read_text().splitlines()) > 1:
                raise RuntimeError(f"cannot set {swap}; turn swap off (swapoff -a)") from None

    def set(self, file, value):
        fd = os.open(self.dir / file, os.O_WRONLY)  # no O_CREAT: a missing file is an error
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)

    def enter(self):
        (self.dir / "cgroup.procs").write_text(str(os.getpid()))

    def peak_bytes(self):
        for file in ("memory.max_usage_in_bytes", "memory.peak"):
            if (self.dir / file).exists():
                return int((self.dir / file).read_text())
        return None  # v2 before Linux 5.19

    def oom_kills(self):
        words = read_words(self.dir / ("memory.oom_control" if self.v1 else "memory.events"))
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0

    def remove(self):
        if self.v1:
            try:
                self.set("memory.force_empty", 0)  # else its page cache is charged to the parent
            except OSError:
                pass
        for _ in range(100):
            try:
                return self.dir.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                time.sleep(0.05)


def read_words(path):
    return path.read_text().split()


@dataclasses.dataclass
class Outcome:
    exit_code: int = 0
    oom_killed: bool = False
    timed_out: bool = False
    seconds: float = 0
    output: list = dataclasses.field(default_factory=list)  # (CLOCK_MONOTONIC, line of standard output)
    reads: list = dataclasses.field(default_factory=list)  # (CLOCK_MONOTONIC, bytes read from disk so far)
    errors: str = ""  # the end of standard error
    peak_cgroup_bytes: int | None = None
    peak_rss_bytes: int = 0

    def bytes_read(self, start, end):
        return self._reads_until(end) - self._reads_until(start)

    def _reads_until(self, when):
        before = (self.reads[0][0], 0)
        for after in self.reads:
            if after[0] >= when:
                span = after[0] - before[0]
                share = (when - before[0]) / span if span > 0 else 1
                return before[1] + max(0, share) * (after[1] - before[1])
            before = after
        return before[1]


def bytes_read_by(pid):
    """Reads that a process sent to a disk: O_DIRECT, page faults and their read-ahead alike."""
    for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("read_bytes:"):
            return int(line.split()[1])
    return 0


def run_confined(command, limit_bytes, cpus, environment, timeout_seconds):
    cgroup = MemoryCgroup(limit_bytes)

    def enter():
        os.sched_setaffinity(0, cpus)
        cgroup.enter()

    outcome = Outcome()
    begin = time.monotonic()
    with tempfile.TemporaryFile() as errors, selectors.DefaultSelector() as selector:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                                   env=environment, preexec_fn=enter)
        os.set_blocking(process.stdout.fileno(), False)
        selector.register(process.stdout, selectors.EVENT_READ)
        pending, output_open = b"", True
        try:
            while True:
                if output_open:
                    selector.select(SAMPLE_SECONDS)
                else:
                    time.sleep(SAMPLE_SECONDS)
                now = time.monotonic()
                outcome.reads.append((now, bytes_read_by(process.pid)))
                chunk = process.stdout.read() if output_open else None
                if chunk == b"":
                    selector.unregister(process.stdout)
                    output_open = False
                *lines, pending = (pending + (chunk or b"")).split(b"\n")
                outcome.output += [(now, line.decode(errors="replace")) for line in lines]
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                if now - begin > timeout_seconds:
                    outcome.timed_out = True
                    process.kill()
        except BaseException:
            process.kill()
            os.wait4(process.pid, 0)
            raise
        finally:
            outcome.peak_cgroup_bytes = cgroup.peak_bytes()
            outcome.oom_killed = cgroup.oom_kills() > 0
            cgroup.remove()
        process.returncode = outcome.exit_code = os.waitstatus_to_exitcode(status)
        if output_open:
            pending += process.stdout.read() or b""
        if pending:
            outcome.output += [(now, line) for line in pending.decode(errors="replace").splitlines()]
        process.stdout.close()
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 4000))
        outcome.errors = errors.read().decode(errors="replace")
    outcome.seconds = time.monotonic() - begin
    outcome.peak_rss_bytes = usage.ru_maxrss * 1024
    return outcome


def drop_page_cache():
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
