"""Other people's methods on the same bench, one file a library, imported when it is used."""
