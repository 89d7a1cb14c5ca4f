"""The sections `model` and `optimizer`, under the published field names."""
