"""Tables of ratios over limits that were measured in the same run, as bench/overlap and bench/compute print."""

import datetime
import os
import platform
import re
import statistics
import sys


def spread(values):
    return f"{statistics.median(values):.3f} ({min(values):.3f} .. {max(values):.3f})"


class Table:
    def __init__(self):
        self.lines = []
        self.missed = []

    def add(self, what, floor, ratios, remark, worst=None):
        """`worst`: the largest ratio allowed as well. Without either the row only informs."""
        median = statistics.median(ratios)
        met = (floor is None or median >= floor) and (worst is None or median <= worst)
        limit = (f"{floor} to {worst}" if None not in (floor, worst) else f"{worst} at most" if worst is not None
                 else f"{floor}" if floor is not None else "-")
        verdict = "-" if floor is None and worst is None else "yes" if met else "NO"
        self.lines.append(f"| {what} | {limit} | {spread(ratios)} | {verdict} | {remark} |")
        print(self.lines[-1], file=sys.stderr)
        if not met:
            self.missed.append(what)

    def text(self):
        head = "| what | floor | measured: median (least .. most) | met | remark |\n| --- | --- | --- | --- | --- |\n"
        return head + "\n".join(self.lines) + "\n"

    def finish(self, headline, output):
        """Prints the table, writes it to the file `output` unless None, and exits 1 where a floor was missed."""
        text = f"{headline}\n\n{self.text()}"
        print(text)
        if output:
            with open(output, "w") as out:
                out.write(text)
        if self.missed:
            print("missed: " + ", ".join(self.missed), file=sys.stderr)
            sys.exit(1)


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "?")
    total = next(int(re.findall(r"\d+", line)[0]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return (f"{datetime.datetime.now():%Y-%m-%d %H:%M}, {model}, {os.cpu_count()} CPUs, {total / 1048576:.0f} GiB, "
            f"Linux {platform.release()}")
