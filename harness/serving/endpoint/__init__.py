"""A client of OpenAI-compatible servers that stamps what it reads, and says what it could not see."""
