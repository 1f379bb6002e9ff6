"""Why a language model says what it says, and whether a language model said it."""
