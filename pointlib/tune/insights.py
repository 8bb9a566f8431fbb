"""Insights: what a trial says about its errors, its ceiling, rules and trust, for the browser.

About shape: plain dicts and lists, as the tuner's pages take them. Not about the numbers in them:
trial.py, and study/errors.py, study/ceiling.py, metrics.py and study/trust.py behind it.
"""

N_EXAMPLES = 70  # of one kind of error: more, nobody clicks through


def anatomy(trial):
    """Return F1, what each kind of error costs, and examples: those of the worst images first."""
    table, flaws = trial.anatomy()
    left, examples = dict.fromkeys(table["kinds"], N_EXAMPLES), []
    for i in sorted(flaws, key=lambda i: -len(flaws[i])):
        for flaw in flaws[i]:
            left[flaw.kind] -= 1
            if left[flaw.kind] >= 0:
                about = {"kind": flaw.kind, "x": flaw.x, "y": flaw.y, "label": flaw.label}
                examples.append({"image": i, **about})
    kinds = [{"kind": kind, **values} for kind, values in table["kinds"].items()]
    return {"f1": table["f1"], "kinds": kinds, "flaws": examples}


def ceiling(trial):
    """Return what a perfect network could reach, and at which sigma."""
    return trial.ceiling()._asdict() | {"sigma": trial.tuning_set.sigma}


def rules(trial):
    """Return the F1 of the same points by each rule."""
    return [{"rule": rule, "f1": f1} for rule, f1 in trial.rules().items()]


def trust(trial):
    """Return how true scores are, and between which numbers counts lie.

    "visible" is the interval of the image that is looked at, None while nothing is known of it.
    """
    bins, interval, visible = trial.reliability(), trial.count_interval(), None
    columns = {"low": bins.edges[:-1], "high": bins.edges[1:]}
    columns |= {"score": bins.score, "share": bins.share, "n": bins.n}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if trial.tuning_set.candidates[trial.index] is not None:
        ends = interval.of(trial.n_found(trial.index))
        visible = dict(zip(("low", "high"), ends, strict=True))
    return {"bins": rows, "interval": interval._asdict(), "visible": visible}


INSIGHTS = {"anatomy": anatomy, "ceiling": ceiling, "rules": rules, "trust": trust}
