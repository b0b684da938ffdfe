"""Moving house: all that one store has, into another, of whichever engine. See `copying` for the way."""
