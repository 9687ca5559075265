"""What exactly was inspected, with what, for whom; and what follows from that for this verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from inspector.page.answers import Case, ended
from inspector.page.figures import figure, is_number, quoted, rows, say, short, table

Fact = tuple[str, Markup | str]
_ASSEMBLY = {
    "proved": "The vendor’s own logits were reproduced: this is the vendor’s model.",
    "checked": "Its accuracy on labelled pictures was checked: it works as the vendor’s model "
    "should.",
    "plausible": "That the model was put together as the vendor means it is plausible, and not "
    "proved. Logits of the vendor’s own, given with the manifest, would prove it.",
    "unverified": "It is not established that the model was put together as the vendor means it.",
}


def facts(case: Case) -> list[Fact]:
    """The rows that identify file, backbone, engine, bank and request."""
    report, record = case.report, case.record
    artifact = table(report.get("artifact")) or table(record.get("artifact"))
    labels = table(record.get("labels"))
    found = [
        ("File", _file(artifact)),
        ("Vendor", quoted(labels["vendor"]) if "vendor" in labels else "no label “vendor” given"),
        ("Kind of model", _family(artifact)),
        ("Backbone", _backbone(case)),
        ("Engine", _engine(report)),
        ("Bank", _bank(report)),
        ("Probes", _probes(report)),
        ("Profile", _profile(case)),
        ("Date", _finished(record)),
        ("Policy", _policy(record)),
    ]
    others = sorted(set(labels) - {"vendor", "requested_by"})
    return found + [
        (f"Label {short(name, 30)}", Markup("<bdi>{}</bdi>").format(short(labels[name], 40)))
        for name in others[:2]
    ]


def _file(artifact: Mapping[str, Any]) -> Markup | str:
    if not artifact:
        return "unknown"
    named = [quoted(artifact["name"])] if "name" in artifact else []
    size = say("{size} bytes", size=figure(artifact.get("size"), "count"))
    return Markup(", ").join([*named, size])


def _family(artifact: Mapping[str, Any]) -> str:
    family, form = artifact.get("family"), artifact.get("format")
    return f"{short(family or 'not recognised')}, {short(form or 'unknown format')}"


def _backbone(case: Case) -> Markup:
    backbone = table(case.report.get("backbone"))
    name = short(backbone.get("id") or case.record.get("backbone") or "none")
    sha256 = backbone.get("sha256")
    if not sha256:
        return say("{name}; its weights were not read", name=name)
    told = "whether genuine: not recorded"
    if isinstance(genuine := backbone.get("genuine"), bool):
        told = "the genuine weights" if genuine else "NOT the genuine weights"
    return say(
        "{name}, {told}<br><code class='hash'>{sha256}</code>",
        name=name, told=told, sha256=short(sha256, 64),
    )  # fmt: skip


def _engine(report: Mapping[str, Any]) -> Markup | str:
    engine = report.get("engine")
    if isinstance(engine, str):
        return say("clipvet {version}", version=short(engine))
    if not table(engine):
        version = table(report.get("reading")).get("reader_version")
        return f"not recorded; reader {short(version)}" if version else "not recorded"
    given = table(engine)
    return say(
        "clipvet {version}, rule {rule}<br><code class='hash'>{sha256}</code>",
        version=short(given.get("version") or "of unknown version"),
        rule=short(given.get("rule") or "unknown"), sha256=short(given.get("sha256") or "", 64),
    )  # fmt: skip


def _bank(report: Mapping[str, Any]) -> Markup | str:
    bank = table(report.get("calibration"))
    if not bank:
        return "none: there is no p-value"
    return say(
        "{models} honest models, {method}, id <code>{id}</code>",
        models=figure(bank.get("models"), "count"), method=short(bank.get("method")),
        id=short(bank.get("id")),
    )  # fmt: skip


def _probes(report: Mapping[str, Any]) -> Markup | str:
    probes = table(report.get("probes"))
    if not probes:
        return "none were used"
    kind = "pictures of the task" if probes.get("in_distribution") else "not of the task"
    return say(
        "{count} to search on, {held_out} to judge on; {source}, {kind}",
        count=figure(probes.get("count"), "count"),
        held_out=figure(probes.get("held_out"), "count"),
        source=short(probes.get("source")), kind=kind,
    )  # fmt: skip


def _profile(case: Case) -> Markup:
    profile = case.report.get("profile") or case.record.get("profile")
    seed = case.report.get("seed", case.record.get("seed"))
    return say("{profile}, seed {seed}", profile=short(profile), seed=figure(seed, "count"))


def _finished(record: Mapping[str, Any]) -> Markup | str:
    if not record:
        return "not recorded on a command line"
    return ended(record) or "not finished yet"


def _policy(record: Mapping[str, Any]) -> Markup | str:
    """A policy's evaluation where the record has one, else the result of `fail_on`."""
    if policy := table(record.get("policy")):
        version = policy.get("version")
        return say(
            "<strong>{result}</strong> under {name}{version}",
            result=short(record.get("policy_result") or record.get("result") or "not evaluated"),
            name=quoted(policy.get("name")),
            version=say(", version {n}", n=figure(version, "count")) if is_number(version) else "",
        )
    if record.get("result"):
        return say(
            "<strong>{result}</strong>; the request fails from {fail_on} on, and without a verdict",
            result=short(record["result"]), fail_on=short(record.get("fail_on")),
        )  # fmt: skip
    return "no policy was evaluated"


def own_limits(report: Mapping[str, Any]) -> list[Markup | str]:
    """What limits the verdict on this very model, from what the report says of it."""
    return list(_own_limits(report))


def _own_limits(report: Mapping[str, Any]) -> Iterator[Markup | str]:
    if not report.get("per_class"):
        return
    if assembly := _ASSEMBLY.get(str(report.get("assembly"))):
        yield say("{told} ({reason})", told=assembly, reason=report.get("assembly_reason") or "")
    classes = table(report.get("classes"))
    if classes.get("source") and classes.get("source") != "manifest":
        yield say("Class names come from: {source}.", source=short(classes["source"]))
    if classes.get("match") is False:
        yield "The class names that were given do not match those in the file."
    if not table(report.get("probes")).get("in_distribution"):
        yield "No pictures of the model’s own task were used; they reveal faint backdoors better."
    if not table(report.get("error_rates")):
        yield (
            "How often such a verdict is wrong was not measured for this profile, kind of model, "
            "probes and number of classes."
        )
    yield _weakest(report)
    if any(row.get("is_reported") is False for row in rows(report.get("models"))):
        yield "The delivery holds other models, too; a loader may take one of those."


def _weakest(report: Mapping[str, Any]) -> Markup | str:
    weakest = table(report.get("weakest_attack"))
    if not weakest:
        return "How weak an attack would still have been seen was not measured."
    return say(
        "The weakest attack that would have been seen: {what}, success {asr}.",
        what=short(weakest.get("kind"), 120), asr=figure(weakest.get("asr"), "share"),
    )  # fmt: skip
