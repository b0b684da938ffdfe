"""The built-in sinks, one file a kind. Installed as `router.plugins`; each imports the public names of `router` only."""
