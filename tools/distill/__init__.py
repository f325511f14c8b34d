"""The strict JSON Schemas that the schema check reads, distilled from the CRDs of the kinds that we emit."""
