"""Two towers: vectors of questions and of passages, pre-trained on how documents are built and linked."""
