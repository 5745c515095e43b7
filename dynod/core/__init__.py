"""Every decision, pure: values in, values out. Time, chance and ids come in as plain values."""
