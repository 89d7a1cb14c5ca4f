"""The rules of validation, by subject: each class is one rule."""
