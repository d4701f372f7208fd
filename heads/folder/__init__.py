"""What is made of a scored folder for people to look at: a gallery, a summary, annotated copies, sorted albums."""
