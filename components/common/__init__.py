"""What steps share: artifact formats, process runtime, storage, pages and the model registry."""
