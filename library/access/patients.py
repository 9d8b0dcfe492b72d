"""How the audit names a patient."""

import hashlib


def pseudonym(patient_id: str) -> str:
    """What the audit calls a patient: who asks for one finds all who read it, and no list of patients comes about.

    Ids of some servers are short numbers, which can be tried one after the other: this is no secret, and the audit is
    for administrators only.
    """
    return hashlib.sha256(f"patient {patient_id}".encode(errors="surrogatepass")).hexdigest()[:32]
