"""Where transfers come from: nodes, files and explorers, all behind one port."""
