#!/usr/bin/env python3
"""redis-benchmark against Bezant and against a single Redis that syncs every write, side by side.

Starts both systems on free ports in a temporary directory, runs the workloads in interleaved rounds, prints a Markdown
table of medians, and stops everything. Needs redis-server, redis-benchmark and a release build; see docs/benchmarks.md.
"""

import argparse
import contextlib
import csv
import io
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")

# Name, clients, pipeline.
WORKLOADS = [("-c 1", 1, 1), ("-c 50", 50, 1), ("-c 50 -P 16", 50, 16)]
COMMANDS = ["SET", "GET"]


class Failed(Exception):
    """Something that the measurement needs did not work."""


# --- processes


def children(pid):
    """All descendants of a process, the process first."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry)] = int(stat_fields(int(entry))[1])
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on: the name before it may hold spaces."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pids):
    """User and system time of the processes so far."""
    total = 0
    for pid in pids:
        fields = stat_fields(pid)
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def peak_bytes(pids):
    """The sum of the highest resident sets."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1]) * 1024
    return total


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    """Whether a server at the port executes a command that it cannot answer from its own head."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
            stream.sendall(b"SET bench:ready 1\r\n")
            return stream.recv(64).startswith(b"+OK")
    except OSError:
        return False


def wait_until_ready(name, port, process, log, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed(f"{name} ended with status {process.returncode}:\n{tail(log)}")
        if answers(port):
            return
        time.sleep(0.05)
    raise Failed(f"{name} does not answer after {seconds} s:\n{tail(log)}")


def tail(log):
    return "\n".join(pathlib.Path(log).read_text(errors="replace").splitlines()[-15:])


class System:
    """One of the two that are compared: a process, those it started, and a port."""

    def __init__(self, name, command, port, folder):
        self.name, self.port = name, port
        self.log = folder / f"{name.replace(' ', '-')}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self):
        wait_until_ready(self.name, self.port, self.process, self.log)

    def servers(self):
        """The processes that serve. One that only supervises others costs nothing, and is counted all the same."""
        return children(self.process.pid)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                pass
        # The session is ours alone: whatever is left of it has missed its signal.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start_redis(name, folder):
    port = free_port()
    data = folder / f"data-{port}"
    data.mkdir()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--daemonize", "no"]
    options += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    return System(name, ["redis-server", *options], port, folder)


def start_bezant(folder, binary, replicas):
    port = free_port()
    command = [str(binary), "up", "--home", str(folder / "bezant"), "--replicas", str(replicas)]
    command += ["--redis", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{free_port()}"]
    return System("Bezant", command, port, folder)


# --- measuring


def redis_benchmark(port, clients, pipeline, requests, size, command):
    """One run: requests per second, median and 99th percentile in milliseconds."""
    arguments = ["redis-benchmark", "-p", str(port), "-t", command.lower(), "-d", str(size), "-r", "1000"]
    arguments += ["-c", str(clients), "-P", str(pipeline), "-n", str(requests), "--csv"]
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
    rows = [row for row in csv.DictReader(io.StringIO(csv_lines(run.stdout))) if row["test"].startswith(command)]
    if run.returncode != 0 or len(rows) != 1:
        raise Failed(f"{' '.join(arguments)} ended with status {run.returncode}:\n{run.stdout}{run.stderr}")
    return float(rows[0]["rps"]), float(rows[0]["p50_latency_ms"]), float(rows[0]["p99_latency_ms"])


def csv_lines(text):
    """What is CSV in it: warnings come on the same stream."""
    return "\n".join(line for line in text.splitlines() if line.startswith('"'))


def requests_for(system, workload, size, command, seconds):
    """How many requests take about so many seconds, by a short trial."""
    _, clients, pipeline = workload
    least = 10 * clients * pipeline
    trial = max(least, 200)
    rate, _, _ = redis_benchmark(system.port, clients, pipeline, trial, size, command)
    # Once more with a count that is not all start-up.
    trial = max(least, int(rate * min(0.5, seconds)))
    rate, _, _ = redis_benchmark(system.port, clients, pipeline, trial, size, command)
    return max(least, int(rate * seconds))


def measure(system, workload, size, command, requests):
    name, clients, pipeline = workload
    servers = system.servers()
    before = cpu_seconds(servers)
    rate, median, tail_latency = redis_benchmark(system.port, clients, pipeline, requests, size, command)
    if system.servers() != servers:
        raise Failed(f"{system.name} lost or restarted a process while it was measured:\n{tail(system.log)}")
    cpu = cpu_seconds(servers) - before
    return {
        "system": system.name,
        "workload": name,
        "command": command,
        "requests": requests,
        "per_second": rate,
        "median_ms": median,
        "p99_ms": tail_latency,
        "cpu_us": cpu / requests * 1e6,
        "peak_bytes": peak_bytes(servers),
    }


def rounds(systems, arguments):
    """All measurements, round by round, the order of the systems turned in every second round."""
    cells = [(workload, command) for workload in WORKLOADS for command in COMMANDS]
    counts = {}
    for workload, command in cells:
        for system in systems:
            counts[system.name, workload[0], command] = requests_for(
                system, workload, arguments.size, command, arguments.seconds
            )
    found = []
    for number in range(arguments.rounds):
        order = systems if number % 2 == 0 else systems[::-1]
        for workload, command in cells:
            for system in order:
                requests = counts[system.name, workload[0], command]
                result = measure(system, workload, arguments.size, command, requests)
                found.append({"round": number + 1, **result})
                print(
                    f"round {number + 1}, {command} {workload[0]}, {system.name}: {result['per_second']:,.0f}/s,"
                    f" {result['median_ms']:.2f} ms, {result['cpu_us']:.1f} us CPU",
                    file=sys.stderr,
                )
    return found


# --- telling


def medians(found, system, workload, command):
    rows = [r for r in found if (r["system"], r["workload"], r["command"]) == (system, workload, command)]
    keys = ["per_second", "median_ms", "p99_ms", "cpu_us"]
    return {key: statistics.median(row[key] for row in rows) for key in keys}


def table(found, systems):
    ours, other = (system.name for system in systems)
    columns = ["per second", "median / p99", "CPU per operation"]
    head = " | ".join(f"{column}: {ours} | {other}" + ("" if "p99" in column else " | ratio") for column in columns)
    lines = [f"| | {head} |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for command in COMMANDS:
        for name, _, _ in WORKLOADS:
            a, b = (medians(found, system, name, command) for system in (ours, other))
            lines.append(
                f"| {command} `{name}` | {a['per_second']:,.0f} | {b['per_second']:,.0f} |"
                f" {ratio(a['per_second'], b['per_second'])} |"
                f" {a['median_ms']:.2f} / {a['p99_ms']:.2f} ms | {b['median_ms']:.2f} / {b['p99_ms']:.2f} ms |"
                f" {a['cpu_us']:.1f} us | {b['cpu_us']:.1f} us | {ratio(a['cpu_us'], b['cpu_us'])} |"
            )
    peaks = []
    for system in systems:
        peak = max(row["peak_bytes"] for row in found if row["system"] == system.name)
        peaks.append(f"{system.name} {peak / 2**20:,.0f} MiB in {len(system.servers())} processes")
    lines += ["", f"Peak memory: {', '.join(peaks)}."]
    return "\n".join(lines)


def ratio(ours, other):
    return f"{ours / other:.2f}" if other > 0 else "-"


def machine():
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False).stdout.split()
    version = next((word[2:] for word in redis if word.startswith("v=")), "?")
    commit = git.stdout.strip() or "?"
    return (
        f"{os.cpu_count()} processors of {model}, Linux {platform.release()}, commit {commit}, Redis {version},"
        f" {time.strftime('%Y-%m-%d')}"
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--seconds", type=float, default=2.5, help="about how long one measurement takes (2.5)")
    parser.add_argument("--size", type=int, default=100, help="bytes of a value (100)")
    parser.add_argument("--replicas", type=int, default=4, help="how many replicas (4)")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/bezant", help="what to measure")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "target", help="on which disk (that of target/)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="where every measurement is kept")
    noise = "measure Redis against itself: shows how far from 1.00 a ratio is by chance"
    parser.add_argument("--self-test", action="store_true", help=noise)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    for program in ["redis-server", "redis-benchmark"]:
        if shutil.which(program) is None:
            raise Failed(f"{program} is not installed. On Debian: apt-get install redis-server redis-tools")
    if not arguments.self_test and not arguments.binary.is_file():
        raise Failed(f"there is no {arguments.binary}: cargo build --release")
    systems = []
    # Beside the build and not in the system's temporary folder, which may be memory: a sync there would prove nothing.
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.folder) as name:
        folder = pathlib.Path(name)
        try:
            if arguments.self_test:
                systems.append(start_redis("Redis again", folder))
            else:
                systems.append(start_bezant(folder, arguments.binary.resolve(), arguments.replicas))
            systems.append(start_redis("Redis", folder))
            for system in systems:
                system.wait()
            started = time.monotonic()
            found = rounds(systems, arguments)
            print(f"{machine()}; medians of {arguments.rounds} rounds, {time.monotonic() - started:.0f} s in all.\n")
            print(table(found, systems))
            if arguments.json:
                arguments.json.write_text(json.dumps(found, indent=1) + "\n")
        finally:
            for system in systems:
                system.stop()


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"error: {failed}")
    except KeyboardInterrupt:
        sys.exit("stopped")
