"""What the command line prints of an update."""

from deploy.command.board import update_line

DAY, NEXT = "2026-03-02", "2026-03-03"


def test_a_block_of_more_than_a_day_names_the_day_it_ends() -> None:
    blocks = [(f"{DAY}T09:00:00Z", f"{DAY}T10:00:00Z"), (f"{DAY}T23:00:00Z", f"{NEXT}T23:00:00Z")]
    told = {
        "mailbox": "ann@example.com",
        "coverage": "full",
        "from": f"{DAY}T00:00:00Z",
        "to": f"{NEXT}T23:00:00Z",
        "busy": [{"start": start, "end": end, "status": "oof"} for start, end in blocks],
    }
    line = update_line(7, "availability.updated.v1", told).plain
    assert "oof 03-02T09:00-10:00" in line
    assert "oof 03-02T23:00-03-03T23:00" in line
