"""Every step under every fault: what it says, what it leaves, and that it then finishes as if nothing had been."""
