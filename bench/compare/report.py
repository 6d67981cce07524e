"""Medians, ratios and the Markdown of a side-by-side comparison, from the dictionary that `run` keeps as JSON."""
import statistics

LIMIT_TITLES = {"half": "1/2 of the model", "fivesixths": "5/6 of the model"}
# (limit, peer, sluice's tokens a second must be at least this many times the peer's, both in bf16)
FLOORS = [
    ("half", "llama.cpp", 2.0),
    ("half", "accelerate", 1.8),
    ("half", "AirLLM", 4.0),
    ("fivesixths", "llama.cpp", 3.0),
]


def runs_of(result, system, encoding, limit):
    key = (system, encoding, limit)
    return [r for r in result["runs"] if (r["system"], r["encoding"], r["limit"]) == key and "error" not in r]


def median(runs, field):
    values = [r[field] for r in runs if r.get(field) is not None]
    return statistics.median(values) if values else None


def ratios(result):
    """A row for each floor; measured and ok are None where one of the two was not measured."""
    rows = []
    for limit, peer, floor in FLOORS:
        ours = median(runs_of(result, "sluice", "bf16", limit), "tokens_per_s")
        theirs = median(runs_of(result, peer, "bf16", limit), "tokens_per_s")
        measured = ours / theirs if ours and theirs else None
        rows.append({"limit": limit, "peer": peer, "floor": floor, "measured": measured,
                     "ok": None if measured is None else measured >= floor})
    return rows


def number(value, digits=2, unit=1.0):
    return "-" if value is None else f"{value / unit:.{digits}f}"


def table(result, rows):
    lines = [
        "| memory | system | weights | tokens/s | s a token | GB read a token | GB/s | of fio's best "
        "| peak cgroup, GB | peak RSS, GB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for limit, system, encoding in rows:
        runs = runs_of(result, system, encoding, limit)
        if not runs:
            errors = [r["error"] for r in result["runs"]
                      if (r["system"], r["encoding"], r["limit"]) == (system, encoding, limit)]
            lines.append(f"| {title(limit)} | {system} | {encoding} | {errors[-1]} |" + " - |" * 6)
            continue
        rates = [r["tokens_per_s"] for r in runs]
        spread = f" ({min(rates):.3f}-{max(rates):.3f})" if len(rates) > 1 else ""
        cells = [
            title(limit), system, encoding,
            number(statistics.median(rates), 3) + spread,
            number(median(runs, "seconds_per_token"), 3),
            number(median(runs, "bytes_per_token"), 3, 1e9),
            number(median(runs, "bytes_per_s"), 2, 1e9),
            number(median(runs, "share_of_fio"), 2),
            number(median(runs, "peak_cgroup_bytes"), 2, 1e9),
            number(median(runs, "peak_rss_bytes"), 2, 1e9),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def greedy_tokens(result):
    """Says whether all who tell their tokens chose the same: then they computed the same model."""
    told = {r["system"]: r["decode"]["ids"] for r in result["runs"]
            if r["encoding"] == "bf16" and r.get("decode", {}).get("ids")}
    count = min(map(len, told.values()), default=0)
    if len(told) < 2:
        return []
    same = len({tuple(ids[:count]) for ids in told.values()}) == 1
    verdict = "are the same" if same else "DIFFER"
    return ["", f"Greedy tokens of {', '.join(told)} (bf16, the first {count}) {verdict}."]


def title(limit):
    return LIMIT_TITLES.get(limit, limit)


def unique(values):
    return list(dict.fromkeys(values))


def markdown(result):
    last = result["sessions"][-1]
    machine, model = last["machine"], result["model"]
    fio = [f["bytes_per_s"] / 1e9 for f in result["fio"]]
    limits = sorted(unique(r["limit"] for r in result["runs"]), key=lambda l: (l != "half", l != "fivesixths", l))
    systems = ["sluice", "llama.cpp", "accelerate", "AirLLM"]
    measured = {(r["limit"], r["system"], r["encoding"]) for r in result["runs"]}
    lines = [
        "# Side by side",
        "",
        f"{last['date']}; {machine['cpu']}, {last['options']['threads']} threads on as many of "
        f"{machine['cores']} cores, {machine['ram_bytes'] / 2**30:.0f} GiB of RAM, Linux {machine['kernel']}; "
        f"fio's best (io_uring, O_DIRECT) {statistics.median(fio):.2f} GB/s "
        f"({min(fio):.2f}-{max(fio):.2f} over {len(fio)} rounds).",
        f"Model: {model['description']}, {model['bytes'] / 1e9:.2f} GB in bf16. Each system alone in a memory cgroup, "
        "page cache dropped before; medians over the rounds, prompt and loading excluded.",
        "",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in last["versions"].items()) + ".",
        "",
        "## Same bytes: bf16 for all",
        "",
        *table(result, [(l, s, "bf16") for l in limits for s in systems if (l, s, "bf16") in measured]),
        *greedy_tokens(result),
        "",
        "## Each system's best encoding",
        "",
        *table(result, [(l, s, e) for l in limits for s in systems
                        for e in [("q4_k_m" if s in ("sluice", "llama.cpp") else "bf16")] if (l, s, e) in measured]),
        "",
        "## sluice's tokens/s over a peer's, bf16",
        "",
        "| memory | peer | floor | measured | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for r in result["ratios"]:
        verdict = {True: "holds", False: "MISSED", None: "not measured"}[r["ok"]]
        lines.append(f"| {title(r['limit'])} | {r['peer']} | {r['floor']:.1f} | {number(r['measured'])} | {verdict} |")
    if len(result["sessions"]) > 1:
        lines += ["", "Merged from sessions of " + ", ".join(s["date"] for s in result["sessions"]) + "."]
    commands = unique(r["command"] for r in result["runs"])
    lines += ["", "Commands:", "", *("    " + c for c in commands), ""]
    return "\n".join(lines)
