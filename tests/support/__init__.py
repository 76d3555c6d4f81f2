"""Starting real servers, building messages, recording what happened."""
