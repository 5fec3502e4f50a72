"""The whole pipeline, in one process and in many, compared with an evaluation of its own of the same calendars."""
