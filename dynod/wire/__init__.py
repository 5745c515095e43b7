"""Bytes to values and back, pure. Every codec takes bytes as they come: whole, split anywhere, several at once."""
