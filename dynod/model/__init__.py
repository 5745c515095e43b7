"""The field's nouns as frozen values. No I/O, no clock, no chance: what stands here can be built from literals."""
