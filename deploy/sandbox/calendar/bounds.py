"""How much one series may cost and yield; see `expansion` for what happens beyond."""

MOST_STARTS = 1_000_000  # starts looked at in one window: about a second or two
MOST_ITEMS = 20_000  # instances listed one by one: daily for half a century
MOST_JOINED = 400_000  # instances listed once touching ones are joined: hourly for 45 years
