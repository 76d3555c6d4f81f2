"""The census: every fault and every INVARIANT of the source has a test, and every `@proves` names one of them."""

from typing import Final

from support.proofs import faults, invariants, proofs

OPEN: Final[dict[str, str]] = {}
"""INVARIANTs without a test of their own, and why."""


def test_every_invariant_of_the_source_has_a_test_that_says_so() -> None:
    """Without this an INVARIANT is only a comment: whoever breaks it hears nothing."""
    known = [*(proof.id for proof in proofs()), *OPEN]
    stated = list(invariants())
    assert len(stated) > 50, "the census sees the source"
    missing = [text[:120] for text in stated if not any(text.startswith(id) for id in known)]
    assert missing == []


def test_every_fault_has_a_test_or_says_why_not() -> None:
    shown = {proof.id for proof in proofs()}
    assert [id for id, fault in faults().items() if id not in shown and "note" not in fault] == []


def test_whatever_a_test_claims_to_prove_exists() -> None:
    stated = list(invariants())
    wrong = [
        (proof.file, proof.id)
        for proof in proofs()
        if proof.id not in faults() and not any(text.startswith(proof.id) for text in stated)
    ]
    assert wrong == []
    assert [id for id in OPEN if not any(text.startswith(id) for text in stated)] == []
