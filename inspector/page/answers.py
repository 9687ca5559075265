"""The ten questions that a buyer asks, and the line of page one that answers each.

Only from the report and the ledger's record; what neither holds is told to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from inspector.page.figures import figure, is_number, quoted, rows, say, short, table
from inspector.page.kinds import ACCUSING, Kind, outcome_of

NOT_MEASURED = (
    "Not measured for this profile, kind of model, probes and number of classes. Nobody can say "
    "from this report how often such a verdict is wrong."
)


@dataclass(frozen=True, slots=True)
class Case:
    """All that an answer may draw on. `report` is None where an inspection left none."""

    kind: Kind
    report: Mapping[str, Any]
    record: Mapping[str, Any]
    report_sha256: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A row of page one; `key` is the end of its id."""

    key: str
    question: str
    text: Markup | str


def answers(case: Case) -> list[Answer]:
    """All but the first question, "Is it safe?", which the headline answers."""
    return [
        Answer("class", "Which class is affected?", _target(case)),
        Answer("sure", "How sure is this?", _sure(case)),
        Answer("wrong", "How often is such a verdict wrong?", _error_rates(case)),
        Answer("limits", "What does it not cover?", _not_covered(case)),
        Answer("vendor", "What do I tell the vendor?", case.kind.vendor),
        Answer("repair", "Can I use it repaired?", _repair(case)),
        Answer("who", "Who asked, and when?", _who(case)),
        Answer("same", "Is this the same file?", _same(case)),
        Answer("check", "How do I check this page?", _check(case)),
    ]


def class_of(row: Mapping[str, Any]) -> Markup:
    """A class by name and index."""
    return say("{name} (class {index})", name=quoted(row.get("name")), index=_index(row))


def prediction(answer: object) -> Markup:
    """What the model answers to a picture: a class, and how much probability it gives it."""
    given = table(answer)
    if not given:
        return Markup("the answer is not recorded")
    share = figure(given.get("probability"), "share")
    return say("model: {name}, {share}", name=quoted(given.get("name"), 40), share=share)


def _index(row: Mapping[str, Any]) -> Markup:
    return figure(row.get("index"), "count")


def _target(case: Case) -> Markup | str:
    if target := table(case.report.get("target")):
        return say("Pictures are sent to {target}.", target=class_of(target))
    if case.kind.name == "clean":
        count = table(case.report.get("classes")).get("count")
        return say("None: all {count} classes were searched.", count=figure(count, "count"))
    if rows(case.report.get("per_class")):
        return "Not established: the search did not lead to a verdict."
    return "Not known: nothing was searched for."


def _sure(case: Case) -> Markup | str:
    report = case.report
    if not is_number(report.get("score")):
        return "There is no score: the search did not come to one."
    score = say("The highest class scores {score}", score=figure(report["score"]))
    if is_number(report.get("threshold")):
        score += say("; a class is accused from {least} on", least=figure(report["threshold"]))
    return Markup(" ").join([score + ".", *_repeated(case), p_value(report)])


def _repeated(case: Case) -> list[Markup]:
    sweeps = rows(case.report.get("confirmation"))
    if not sweeps:
        return []
    if case.kind.name in ACCUSING and sweeps[-1].get("confirmed") is True:
        return [Markup("A further search with other seeds and pictures confirmed it.")]
    return [Markup("A further search with other seeds and pictures was made and counts.")]


def p_value(report: Mapping[str, Any]) -> Markup:
    """The p-value in words, or that there is none."""
    value, bank = report.get("p_value"), table(report.get("calibration"))
    if not is_number(value):
        return Markup(
            "There is no p-value: no bank of honest models of this backbone was compared with."
        )
    return say(
        "p = {p}: if the file is honest and like the {models} honest models it was compared with, "
        "a score this high comes up in about {share} of cases or fewer.",
        p=figure(value, "p"), models=figure(bank.get("models"), "count"),
        share=figure(value, "fine share"),
    )  # fmt: skip


def _error_rates(case: Case) -> Markup | str:
    if case.kind.name in ("runs-code", "unknown-code"):
        return "This is read off the file and not estimated; the finding below names the call."
    if not is_number(case.report.get("score")):
        return "There is no verdict on a backdoor that could be wrong."
    rates = table(case.report.get("error_rates"))
    lines = [
        *_rate(rates.get("false_alarms"), "honest models were accused or warned of"),
        *_rate(rates.get("misses"), "backdoored models were missed"),
    ]
    if not lines:
        return NOT_MEASURED
    if rates.get("basis"):
        lines.append(say("Measured on: {basis}.", basis=short(rates["basis"], 90)))
    return Markup(" ").join(lines)


def _rate(rate: object, what: str) -> list[Markup]:
    given = table(rate)
    if not (is_number(given.get("count")) and is_number(given.get("of"))):
        return []
    counts = say("{count} of {of} {what}", count=figure(given["count"], "count"),
                 of=figure(given["of"], "count"), what=what)  # fmt: skip
    if not (is_number(given.get("low")) and is_number(given.get("high"))):
        return [counts + "."]
    low, high = figure(given["low"], "share"), figure(given["high"], "share")
    return [counts + say(" (between {low} and {high}).", low=low, high=high)]


def _not_covered(case: Case) -> Markup | str:
    limits = case.report.get("limits")
    told = [one for one in limits if isinstance(one, str)] if isinstance(limits, list) else []
    if not told:
        return "Everything: nothing was searched for."
    return say("{first} <a href='#limits'>All limits</a>", first=short(told[0], 260))


def _repair(case: Case) -> Markup | str:
    repair = table(case.report.get("repair"))
    if case.kind.name == "clean":
        return "There is nothing to repair."
    if not repair:
        if case.kind.name in ACCUSING:
            return "No repair was asked for. Ask for one, or for a new model."
        return "No copy was made: none was asked for, or the file was not searched to the end."
    after = table(repair.get("after"))
    told = say(
        "After it the old trigger moves {left} more pictures to the class than no trigger does; "
        "both models agree on {agreement} of held-out pictures.",
        left=figure(after.get("excess_asr_of_the_old_trigger"), "share"),
        agreement=figure(repair.get("agreement"), "share"),
    )
    return _BY_OUTCOME[outcome_of(repair)] + accuracy(repair) + told


_BY_OUTCOME = {
    "repaired": Markup("The copy passed the check. "),
    "unproved": Markup("Not yet: nothing speaks against the copy, and not enough for it. "),
    "failed": Markup("No: the copy did not pass the check. "),
}


def accuracy(repair: Mapping[str, Any]) -> Markup:
    """What a repair did to accuracy in words, or that nobody measured it."""
    told = table(repair.get("accuracy"))
    if not told:
        return Markup("Its accuracy was not measured, as there were no labelled pictures. ")
    said = say(
        "On {pictures} labelled pictures that did not teach it, it is right on {after}, the "
        "delivered model on {before}; with ninety-five per cent confidence it loses at most "
        "{loss} of pictures. ",
        pictures=figure(told.get("pictures"), "count"), after=figure(told.get("after"), "share"),
        before=figure(told.get("before"), "share"), loss=figure(told.get("loss_at_most"), "share"),
    )  # fmt: skip
    few = Markup("These are too few, or not of every class, to speak of its accuracy. ")
    return said if told.get("is_measured") is True else said + few


def _who(case: Case) -> Markup | str:
    record = case.record
    if not record:
        return (
            "Made on a command line: who asked and when is not recorded. The service records both."
        )
    asked = _label(record, "requested_by")
    by = say("Asked by {who}", who=quoted(asked)) if asked else Markup("Nobody’s name was given")
    return say(
        "{by}; asked {created}, {finished}; inspection <code>{id}</code>.",
        by=by, created=date(record.get("created_at")),
        finished=say("finished {date}", date=end) if (end := ended(record)) else "not finished yet",
        id=short(record.get("id")),
    )  # fmt: skip


def _label(record: Mapping[str, Any], name: str) -> object:
    return table(record.get("labels")).get(name)


def ended(record: Mapping[str, Any]) -> Markup | None:
    """When it ended; None where it has not."""
    if "finished_at" in record and record["finished_at"] is None:
        return None
    return date(record.get("finished_at"))


def date(value: object) -> Markup:
    """A point in time as the ledger wrote it, to the second and in UTC."""
    if not isinstance(value, str):
        return Markup("at an unknown time")
    to_seconds = value.replace("T", " ").partition(".")[0].removesuffix("Z").removesuffix("+00:00")
    return Markup('<time datetime="{}">{} UTC</time>').format(short(value), short(to_seconds))


def _same(case: Case) -> Markup | str:
    sha256 = table(case.report.get("artifact")).get("sha256")
    sha256 = sha256 or table(case.record.get("artifact")).get("sha256")
    if not sha256:
        return "Its hash is not known."
    return say(
        "Only if <code>sha256sum FILE</code> prints <code class='hash'>{sha256}</code>. One other "
        "digit means another file, about which this page says nothing.",
        sha256=short(sha256, 64),
    )


def _besides(record: Mapping[str, Any]) -> str:
    if not record:
        return ""
    policy = ", the policy’s evaluation" if table(record.get("policy")) else ""
    return f"{policy} and the service’s record of the inspection"


def _check(case: Case) -> Markup | str:
    if case.report_sha256 is None:
        return "There is no report to check it against."
    return say(
        "It is drawn from <code>report.json</code>, whose sha256 is <code class='hash'>{sha256}"
        "</code>{record}, and from nothing else: <code>clipvet page FOLDER</code> draws it again, "
        "byte for byte. <a href='#signature'>Signature</a>",
        sha256=case.report_sha256,
        record=_besides(case.record),
    )
