"""The routes of the REST interface, one file per noun. A route checks nothing itself: it calls the node."""
