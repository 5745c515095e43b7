"""The composition root of `dynod serve`."""
