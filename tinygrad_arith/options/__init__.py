"""What an option is, how options are read, and the errors that are meant for the person at the keyboard."""
