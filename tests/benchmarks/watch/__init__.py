"""How often the watch reports a champion that stays as good, and how soon it reports one that decays."""
