"""What was said on the wire, with keys taken out: entries, transcripts and the files that hold them."""
