"""Figures of the studies: one module a study, each with `draw`; they need matplotlib, the extra `report`."""
