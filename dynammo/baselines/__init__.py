"""Methods of other papers, one short file each, and what several of them share."""
