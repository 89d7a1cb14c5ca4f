"""The sections `features`, `tasks` and `data`."""
