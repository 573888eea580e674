"""What INFO says of the calls of commands, and of errors."""

from ..config.values import percentage
from ..engine.call_stats import percentile
from ..engine.context import Engine

Fields = dict[str, object]


def about_calls(engine: Engine) -> Fields:
    """Return the Commandstats section: how often each command was called, refused and failed, and how long it took."""
    stats, fields = engine.counters.calls, Fields()
    for name in stats.names:
        calls, microseconds = stats.calls(name), stats.microseconds(name)
        about = f"calls={calls},usec={microseconds},usec_per_call={microseconds / calls if calls else 0:.2f}"
        errors = f"rejected_calls={stats.rejected[name]},failed_calls={stats.failed[name]}"
        fields[f"cmdstat_{name}"] = f"{about},{errors}"
    return fields


def about_latencies(engine: Engine) -> Fields:
    """Return the Latencystats section: the time in microseconds that some percentage of each command's calls took."""
    shown, stats = engine.options.latency_tracking_info_percentiles, engine.counters.calls
    if engine.options.latency_tracking != "yes":
        return {}
    found = {name: calls for name in sorted(stats.tracked.names) if (calls := stats.distribution(name))}
    return {
        f"latency_percentiles_usec_{name}": ",".join(f"p{percentage(p)}={percentile(calls, p):.3f}" for p in shown)
        for name, calls in found.items()
    }


def about_errors(engine: Engine) -> Fields:
    """Return the Errorstats section: how many error replies began with each word."""
    return {f"errorstat_{code}": f"count={count}" for code, count in sorted(engine.counters.errors.items())}
