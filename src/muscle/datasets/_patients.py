"""Patients read from file names, for adapters of one's own data."""

from __future__ import annotations

import hashlib
import re

from pydantic import field_validator

from muscle.data.source import Source
from muscle.errors import UserError


def hidden(identity: str) -> str:
    """A key for a DICOM identity (Patient ID, UID) that does not show it: the head of its SHA-256; empty for blank."""
    identity = identity.strip()
    return hashlib.sha256(identity.encode()).hexdigest()[:16] if identity else ""


class NamedPatients(Source):
    """Base of adapters whose patients may stand in the paths.

    Attributes:
        patient_pattern: a regular expression with one group, searched in the path relative to the root, such as
            ``([0-9]+)_[0-9]+[.]png$``; empty: each image counts as a patient.
    """

    patient_pattern: str = ""

    @field_validator("patient_pattern")
    @classmethod
    def _one_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if pattern and groups != 1:
            raise ValueError(f"{groups} groups; allowed: exactly one, around what names the patient")
        return pattern

    def patient(self, name: str, path: str) -> str:
        """The global key of the patient of an image.

        Raises:
            UserError: the pattern does not match; a film of an unnamed patient could end up on both sides of a split.
        """
        if not self.patient_pattern:
            return f"{name}/{path}"
        match = re.search(self.patient_pattern, path)
        if match is None or not match[1]:
            raise UserError(
                f"source {name}: patient_pattern {self.patient_pattern!r} finds no patient in {path}; "
                "correct it, or leave it out where each film is of another person"
            )
        return self.person(name, match[1])
