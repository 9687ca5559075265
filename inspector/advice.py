"""What to do next about each finding: what to ask the vendor for, or which option to give.

One table, :data:`REMEDIES`, by finding id. Sentences are for the engineer of a buyer, in the
imperative, and hold whatever the message says. Knows neither severities nor stages; torch-free and
free of third-party code, because the reading child imports it with the findings.
"""

from __future__ import annotations

_TENSORS_ALONE = "torch.save(model.state_dict(), FILE) or for safetensors"
_DAMAGED = (
    "Compare the file's sha256 with the vendor's. If it is another, fetch the file again; if it is "
    "the same, do not load it and ask the vendor which program wrote it."
)
_TWO_READINGS = (
    "Do not load this file: two programs may read two models from it. Ask the vendor which program "
    f"wrote it, and for {_TENSORS_ALONE}."
)
_ORIGIN = "Ask the vendor how these values came about, and for the training code"
_NAMES = "Give the class names in label order with --classes FILE, or as classnames in --manifest."
_VENDOR_OPTIONS = "Ask the vendor with which options the model was trained, and correct the"

REMEDIES: dict[str, str] = {
    # The pickle.
    "pickle-code-execution": "Do not load this file anywhere. Ask the vendor how it was made, and "
    f"for {_TENSORS_ALONE}.",
    "pickle-unknown-global": "This is code that we do not know, which is no attack by itself. Ask "
    f"the vendor what it is for, and for {_TENSORS_ALONE}.",
    "pickle-uncommon-global": "Nothing needs to be done. If the object is unwelcome, ask the "
    f"vendor for {_TENSORS_ALONE}.",
    "pickle-malformed": _DAMAGED,
    "pickle-trailing-bytes": _TWO_READINGS,
    # The container.
    "empty-file": "Fetch the file again and compare its size with the vendor's.",
    "not-a-checkpoint": "Check that this is the file that was meant. Ask the vendor for the "
    f"checkpoint, as {_TENSORS_ALONE}.",
    "unsupported-format": f"Ask the vendor for {_TENSORS_ALONE}.",
    "structure-out-of-range": _DAMAGED,
    "polyglot": _TWO_READINGS,
    "zip-truncated": _DAMAGED,
    "zip-malformed": _DAMAGED,
    "zip-bad-crc": _DAMAGED,
    "zip-no-checksums": "Nothing needs to be done: torch can be told to write none. Compare the "
    "file's sha256 with the vendor's.",
    "zip-duplicate-member": _TWO_READINGS,
    "zip-unsafe-name": "Do not unpack this archive: it writes outside of its folder. Ask the "
    "vendor for the checkpoint alone.",
    "zip-encrypted": "Ask the vendor for the file without a password.",
    "zip-header-mismatch": _TWO_READINGS,
    "torch-malformed": _DAMAGED,
    "legacy-malformed": _DAMAGED,
    "safetensors-malformed": _DAMAGED,
    "archive-malformed": _DAMAGED,
    "archive-no-checkpoint": "Ask the vendor which file is the model, or give that file instead of "
    "the folder or archive.",
    "archive-ambiguous": "Ask the vendor which file is the model, and name it with --member NAME.",
    "archive-nested": "Unpack the outer archive and give the inner one, or the checkpoint itself.",
    # The tensors.
    "no-state-dict": f"Ask the vendor for {_TENSORS_ALONE}. Where the tensors lie under a key of "
    "their own, name it with --state KEY.",
    "state-dict-extra": "Nothing needs to be done: these entries are no tensors and were not used.",
    "duplicate-key": _TWO_READINGS,
    "prefix-stripped": "Nothing needs to be done: training tools add such a prefix.",
    "identical-copy": "Nothing needs to be done: whichever copy a loader takes, it is this model.",
    "other-model": "Inspect it as well, with --member NAME or --state KEY, or ask the vendor which "
    "model is meant and for a file that holds this one alone.",
    "loader-differs": "Ask the vendor with which code the file is to be loaded, and for "
    f"{_TENSORS_ALONE}.",
    "model-chosen": "Leave out --member and --state to have every model inspected.",
    "unsupported-tensor": "Ask the vendor for dense tensors of a usual type (float32, float16, "
    "bfloat16): {k: v.detach().clone().float() for k, v in model.state_dict().items()}.",
    "tensor-malformed": _DAMAGED,
    "storage-out-of-range": _DAMAGED,
    "non-finite-tensor": "Ask the vendor for a checkpoint from before the training diverged; this "
    "model cannot compute logits.",
    # The family.
    "unknown-family": "Ask the vendor which method made the model and compare it with the "
    "supported families; ask for the prompt learner's or the whole model's state_dict.",
    "unknown-key": "Ask the vendor what these tensors are for. Give logits of the vendor's with "
    "the manifest: if they come out without these tensors, nothing is missing.",
    "ambiguous-family": "Name the method in --manifest, as the vendor states it.",
    "shape-mismatch": "Ask the vendor which version of the method's code made the model, and for "
    "the file as that code saves it.",
    # What the vendor says of the files.
    "vendor-signature": "Verify it with model_signing and the identity or key that the vendor "
    "names elsewhere: digests that match can be written by anybody.",
    "vendor-signature-differs": "Do not rely on the signature for this delivery. Ask the vendor "
    "which of these files belong to it, and for a delivery that it covers.",
    "vendor-signature-malformed": "Ask the vendor with which tool the signature was made, and for "
    "a new one.",
    # The reader.
    "limit-exceeded": "Ask the vendor for the model alone, without optimiser states and other "
    "objects. An honest prompt or CLIP model stays below this limit.",
    "reader-timeout": "Try again on a machine with less load. If it happens again, do not load the "
    f"file; ask the vendor for {_TENSORS_ALONE}.",
    "reader-error": "Do not load this file. Report its sha256 to the maintainers of clipvet, and "
    f"ask the vendor for {_TENSORS_ALONE}.",
    # The assembly.
    "token-prefix-altered": f"{_ORIGIN}: honest code copies these rows from the backbone.",
    "token-suffix-altered": f"{_ORIGIN}: honest code copies these rows from the backbone.",
    "encoder-changed": "Ask the vendor whether the encoder was tuned. If not, check that "
    "--backbone names the one that the prompt was tuned on.",
    "encoder-tuned": "Nothing needs to be done: this method tunes the encoder, and the delivered "
    "one is inspected.",
    "context-extreme": f"{_ORIGIN}: honest tuning leaves context vectors far smaller.",
    "context-outlier": f"{_ORIGIN}: honest tuning leaves context vectors of similar size.",
    "meta-net-extreme": f"{_ORIGIN}: an honest meta-net moves the context far less.",
    "low-rank-extreme": f"{_ORIGIN}: honest low-rank changes are far smaller than the weights.",
    "cache-labels-altered": f"{_ORIGIN}: the cache's values are the labels of its pictures.",
    "unusual-dtype": "Nothing needs to be done. If in doubt, ask the vendor whether the model was "
    "converted to this type after training.",
    "logit-scale-changed": "Ask the vendor whether the logit scale was tuned; if not, why it is "
    "another one than the backbone's.",
    "logit-scale-mismatch": f"{_VENDOR_OPTIONS} manifest's logit scale, or leave it out.",
    "class-list-mismatch": "Ask the vendor for the class list in label order, and give it with "
    "--classes FILE or --manifest; until then do not rely on the names.",
    "class-list-missing": _NAMES,
    "duplicate-class-names": "Ask the vendor which classes these are, and for names that differ.",
    "template-mismatch": f"{_VENDOR_OPTIONS} manifest's template.",
    "method-mismatch": f"{_VENDOR_OPTIONS} manifest's method.",
    "option-mismatch": f"{_VENDOR_OPTIONS} manifest.",
    "preprocessing-differs": "Nothing needs to be done if the vendor's preprocessing has this mean "
    "and standard deviation; otherwise correct the manifest.",
    "backbone-mismatch": "Ask the vendor which backbone, of which size and source, the model was "
    "tuned on, and name it with --backbone.",
    "assembly-impossible": "Ask the vendor for what the message says is missing, and give it with "
    "--manifest; check that --backbone names the one that was tuned.",
    "too-few-classes": "Check the class list: a model of one class decides nothing.",
    "statement-malformed": "Correct the file: it takes an object with templates and classnames.",
    "adapter-base": "Check that --backbone is the model that the adapter's settings name; on "
    "another base the adapter is another model.",
    "logit-bias-left-out": "Nothing needs to be done: one number added to all logits changes no "
    "prediction.",
    "assembly-found": "Ask the vendor to confirm what was found, and put it into the manifest.",
    # The inspection.
    "backbone-unusable": "Give --backbone pocket, an open_clip folder, an OpenAI-layout "
    "safetensors file or NAME/TAG; check that its file is complete.",
    "request-invalid": "Correct what the message names and ask again.",
    "numerical-error": "Inspect again with another --seed. If it happens again, ask the vendor for "
    "a model in float32.",
    "other-model-inspected": "Ask the vendor which model is meant; the report is about the worst "
    "one.",
    "no-bank": "For CoCoOp on pocket give 1,250 pictures of the task (--probes, --in-distribution) "
    "and --profile standard; else make a bank once: clipvet calibrate, 99 honest models.",
    "budget-exceeded": "Inspect again with a larger --budget, with --profile quick, or with fewer "
    "--targets.",
}
"""By finding id, at most 200 characters each."""
