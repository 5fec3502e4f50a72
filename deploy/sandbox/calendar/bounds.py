"""How much one series may cost and yield; see `expansion` for what happens beyond."""

MOST_STARTS = 500_000  # starts looked at in one window: a few seconds
MOST_ITEMS = 20_000  # instances listed one by one: daily for half a century
MOST_JOINED = 200_000  # instances listed once touching ones are joined; as one message, some 12 MB
