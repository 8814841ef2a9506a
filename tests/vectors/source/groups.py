"""The groups of vectors, without the exported pipelines, which differ with each release of the
libraries that made them."""

from . import (
    changed_bytes,
    datetimes,
    element_types,
    external_data,
    opening,
    records,
    refusals,
    tensors,
    widths,
)

PLAIN = (
    element_types.types,
    widths.widths,
    tensors.shapes,
    tensors.strings,
    records.kinds,
    records.roles,
    records.json_texts,
    opening.files,
    opening.graphs,
    external_data.external,
    opening.contracts,
    opening.verification,
    refusals.refusals,
    datetimes.datetimes,
    changed_bytes.changed_bytes,
)
