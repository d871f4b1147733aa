"""Many runs, followed by one poller inside the account's quota."""
